"""Logs each call of an agent, without what is in the data."""

import logging
from typing import Any

from streamapp.clock import current_clock
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call
from streamapp.pipeline.stage import Stage


class LogStages:
    """Logs each call of an agent: stage, attempt, duration, number of outputs or class of error.

    Values, keys and messages of errors are left out: they may be personal or secret.

    Args:
        logger: where lines go; by default `streamapp.stages`.
        level: level of the lines.
    """

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        self._log = logger or logging.getLogger("streamapp.stages")
        self._level = level

    async def __call__(self, data: Any, stage: Stage, context: Context, call: Call) -> Any:
        """Call the agent and log how that ended."""
        clock = current_clock()
        began = clock.monotonic()
        ended = "was cancelled"
        try:
            result = await call(data)
            ended = f"gave {_count(result)} outputs"
        except Exception as error:
            ended = f"failed with {type(error).__name__}"
            raise
        finally:
            seconds = clock.monotonic() - began
            self._log.log(
                self._level,
                "stage %s of %s %s in attempt %d, after %.3f s",
                stage.stage_id,
                context.pipeline_id,
                ended,
                context.attempt,
                seconds,
            )
        return result


def _count(result: Any) -> int:
    if result is None:
        return 0
    return len(result) if isinstance(result, list) else 1
