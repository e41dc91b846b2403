"""Applies a plan: creates topics, changes configuration and adds partitions."""

from collections.abc import Callable

from streamapp.brokers.protocols import Admin
from streamapp.topics.plan import (
    AddPartitions,
    ChangeConfig,
    CreateTopic,
    Plan,
    TopicChange,
    refuse,
)


def _ignore(_step: TopicChange) -> None:
    """Do nothing after a change."""


async def apply_plan(
    admin: Admin, plan: Plan, *, yes: bool = False, on_done: Callable[[TopicChange], None] = _ignore
) -> tuple[TopicChange, ...]:
    """Make the changes of a plan in their order, and return them.

    A plan with a refusal is not begun. If a change fails, all changes passed to `on_done` are made;
    a new plan then has the rest.

    Args:
        admin: a started admin client.
        plan: the changes.
        yes: add partitions to keyed topics too.
        on_done: called after each change.

    Raises:
        TopicError: the plan has an impossible change or one that needs `yes`, or the broker refused
            a change.
        BrokerError: the broker could not be reached.
    """
    refuse(plan, yes=yes)
    creations = [change for change in plan.changes if isinstance(change, CreateTopic)]
    if creations:  # in one request, to wait only once until the topics can be used
        await admin.create_topics([change.spec for change in creations])
    for change in plan.changes:
        match change:
            case CreateTopic():
                pass
            case ChangeConfig():
                await admin.alter_topic_config(change.topic, change.after)
            case AddPartitions():
                await admin.add_partitions(change.topic, change.after)
        on_done(change)
    return plan.changes
