"""What a burst needs to call the agent of a fused step.

Hot path: the burst unpacks it for each fused step of each record.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from streamapp.pipeline.agent_call import AgentCall
from streamapp.runtime.steps import StepRunner

FusedCall: TypeAlias = tuple[
    type[Any] | None,
    StepRunner,
    AgentCall,
    bool,
    Callable[[Any], bytes] | None,
    Callable[[Any], Any],
]
"""The class of outputs of the step before that it takes without a closer look, the step, its agent,
whether that returns at once and takes no context, what packs its input, if that has to be packed,
and what unpacks it.
"""


def fused_call(before: StepRunner, step: StepRunner) -> FusedCall:
    """What the burst calls between two fused steps."""
    handover = step.handover
    assert handover is not None  # noqa: S101 - only the first step has none
    pack = None if handover.by_reference else handover.encode
    is_plain = not (step.agent.is_async or step.agent.takes_context)
    return before.agent.plain, step, step.agent, is_plain, pack, handover.unpack
