"""Makes a stage of what `Pipeline.stage` is given."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.stage import Ordering, Stage, StageConfig
from streamapp.policies.policy import Policy

_BY_A_READER = {"concurrency": 1, "ordering": Ordering.PARTITION}
"""What a stage that another library reads for can only be, where its declaration says nothing."""


def make_stage(
    pipeline: str,
    stage_id: str,
    agent: Agent[Any, Any],
    config: StageConfig | None,
    on_error: Policy | None,
    settings: Mapping[str, Any],
) -> Stage:
    """Make a stage; single settings and the policy replace fields of the configuration.

    Raises:
        PipelineError: a setting is out of range.
    """
    if agent.reader is not None:
        said = frozenset() if config is None else config.model_fields_set
        settings = {name: one for name, one in _BY_A_READER.items() if name not in said} | dict(
            settings
        )
    try:
        merged = StageConfig.model_validate({**dict(config or StageConfig()), **settings})
        if on_error is not None:
            merged = merged.with_policy(on_error)
        return Stage(
            stage_id=stage_id,
            stage_name=stage_id,
            agent=agent,
            description=agent.description,
            config=merged,
        )
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise PipelineError(f"pipeline {pipeline!r}, stage {stage_id!r}: {faults}") from error
