"""Refuses settings of a stage that would have no effect beside its other settings."""

from collections.abc import Iterable

from streamapp.errors import PipelineError
from streamapp.pipeline.stage import StageConfig
from streamapp.policies.policy import ErrorPolicy

_OF_THE_FIRST_STAGE = (
    "concurrency",
    "ordering",
    "max_in_flight_records",
    "max_in_flight_bytes",
    "max_key_backlog_records",
    "on_key_backlog",
    "on_lost_position",
)
_OF_A_HOLD = ("breaker", "max_hold_seconds", "after_hold")
_OF_ITS_END = ("max_hold_seconds", "after_hold")
_DEFAULT = StageConfig()


def check_effects(where: str, config: StageConfig, *, fused: bool) -> None:
    """Require each setting that is not the default to have an effect.

    Args:
        where: beginning of the error message.
        config: the settings of the stage.
        fused: whether it is fused to the stage before it.

    Raises:
        PipelineError: one has none.
    """
    if fused and (idle := _changed(config, _OF_THE_FIRST_STAGE)):
        raise PipelineError(
            f"{where} is fused, so {idle} would have no effect; set it at the stage that it is"
            " fused to"
        )
    held, policy = _changed(config, _OF_A_HOLD), config.policy
    may_hold = policy.uses(ErrorPolicy.DEAD_LETTER) or policy.all_delays_seconds
    if held and config.breaker is not None and not may_hold:
        raise PipelineError(
            f"{where}: {held} would have no effect: records are held instead of becoming dead"
            " letters or being retried later, and its policy does neither; drop it, or"
            " use dead_letter, retry or retry_later"
        )
    if config.breaker is None and (idle := _changed(config, _OF_ITS_END)):
        raise PipelineError(
            f"{where}: {idle} would have no effect, since without a breaker nothing is held; drop"
            " it, or give a breaker"
        )
    if config.max_hold_seconds is None and (idle := _changed(config, ("after_hold",))):
        raise PipelineError(
            f"{where}: {idle} would have no effect without max_hold_seconds; give both or none"
        )


def _changed(config: StageConfig, names: Iterable[str]) -> str:
    """Those of the settings that are not the default, as an error names them."""
    return ", ".join(name for name in names if getattr(config, name) != getattr(_DEFAULT, name))
