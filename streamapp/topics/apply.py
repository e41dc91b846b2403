"""Carry out a plan: create topics, change configuration, add partitions, and nothing else."""

from collections.abc import Callable

from streamapp.brokers.protocols import Admin
from streamapp.topics.plan import AddPartitions, ChangeConfig, CreateTopic, Plan, Step, refuse


def _nobody(_step: Step) -> None:
    """Stand for a caller who asks for the outcome only."""


async def apply_plan(
    admin: Admin, plan: Plan, *, yes: bool = False, on_done: Callable[[Step], None] = _nobody
) -> tuple[Step, ...]:
    """Take the steps of a plan, in its order, and return them.

    A plan with a refusal is not begun. Where a step fails, what `on_done` has heard of is done;
    a new plan then holds the rest, because every step makes the broker as declared.

    Args:
        admin: a started admin client.
        plan: what to do.
        yes: add partitions to keyed topics too.
        on_done: called after each step.

    Raises:
        TopicError: the plan holds what is never done, or what needs `yes`; or the broker refused
            a declaration.
        BrokerError: the broker could not be reached.
    """
    refuse(plan, yes=yes)
    creations = [step for step in plan.steps if isinstance(step, CreateTopic)]
    if creations:  # in one request: the wait until they can be used is shared
        await admin.create_topics([step.spec for step in creations])
    for step in plan.steps:
        match step:
            case CreateTopic():
                pass
            case ChangeConfig():
                await admin.alter_topic_config(step.topic, step.after)
            case AddPartitions():
                await admin.add_partitions(step.topic, step.after)
        on_done(step)
    return plan.steps
