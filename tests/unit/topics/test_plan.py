from collections.abc import Mapping

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import TopicDescription, TopicSpec
from streamapp.clock import SystemClock
from streamapp.topics.plan import (
    AddPartitions,
    ChangeConfig,
    CreateTopic,
    Plan,
    compare_topics,
    missing_topics,
    plan_topics,
)


@pytest.fixture
def admin() -> MemoryAdmin:
    return MemoryBroker(SystemClock()).admin()


def found(
    partitions: int = 4, replication_factor: int = 1, config: Mapping[str, str] | None = None
) -> dict[str, TopicDescription]:
    return {"a": TopicDescription("a", partitions, replication_factor, config or {})}


def test_what_the_broker_does_not_have_is_created() -> None:
    spec = TopicSpec("a", 4, config={"retention.ms": "5"})
    plan = compare_topics([spec], {})
    assert plan == Plan((CreateTopic(spec),))
    assert str(plan.changes[0]) == "create a with partitions=4, retention.ms=5"


def test_what_is_as_declared_needs_nothing() -> None:
    spec = TopicSpec("a", 4, config={"retention.ms": "5"})
    there = found(config={"retention.ms": "5", "segment.ms": "7"})
    assert compare_topics([spec], there) == Plan()


def test_only_the_configuration_that_differs_is_changed() -> None:
    spec = TopicSpec("a", 4, config={"retention.ms": "5", "max.message.bytes": "9", "x": "1"})
    plan = compare_topics([spec], found(config={"retention.ms": "5", "max.message.bytes": "8"}))
    assert plan.changes == (
        ChangeConfig(
            "a", {"max.message.bytes": "8", "x": None}, {"max.message.bytes": "9", "x": "1"}
        ),
    )
    assert str(plan.changes[0]) == "set max.message.bytes from 8 to 9, x from None to 1 on a"


def test_the_order_of_cleanup_policies_says_nothing() -> None:
    spec = TopicSpec("a", 4, config={"cleanup.policy": "compact,delete"})
    assert compare_topics([spec], found(config={"cleanup.policy": "delete,compact"})) == Plan()
    assert compare_topics([spec], found(config={"cleanup.policy": "delete"})).changes


def test_partitions_are_added_freely_only_where_no_key_belongs_to_one() -> None:
    spec = TopicSpec("a", 6)
    unkeyed = compare_topics([spec], found(4), unkeyed={"a"})
    assert unkeyed.changes == (AddPartitions("a", 4, 6, keyed=False),)
    assert unkeyed.refusals() == ()
    keyed = compare_topics([spec], found(4))
    assert keyed.changes == (AddPartitions("a", 4, 6, keyed=True),)
    assert keyed.refusals() == (
        (
            "the topic a is keyed, and 2 more partitions would send keys to other partitions than"
            " their earlier records: drain its readers first, then use --yes"
        ),
    )
    assert keyed.refusals(yes=True) == ()
    assert str(keyed.changes[0]) == "add partitions to a, from 4 to 6"


def test_partitions_are_never_removed() -> None:
    plan = compare_topics([TopicSpec("a", 2)], found(4), unkeyed={"a"})
    assert plan.changes == ()
    assert plan.refusals(yes=True) == (
        (
            "the topic a has 4 partitions and 2 are declared: partitions are never removed,"
            " so declare 4, or use a new topic"
        ),
    )


def test_replicas_are_not_moved() -> None:
    spec = TopicSpec("a", 4, replication_factor=3)
    plan = compare_topics([spec], found(4, 1))
    assert plan.changes == ()
    assert "declare 1" in plan.refusals(yes=True)[0]
    assert "replication_factor=3" in str(CreateTopic(spec))


def test_any_number_of_copies_is_as_declared_where_none_is() -> None:
    assert compare_topics([TopicSpec("a", 4)], found(4, 3)) == Plan()


async def test_the_first_spec_of_a_topic_counts(admin: MemoryAdmin) -> None:
    plan = await plan_topics(admin, [TopicSpec("a", 4), TopicSpec("b", 1), TopicSpec("a", 1)])
    assert plan.changes == (CreateTopic(TopicSpec("a", 4)), CreateTopic(TopicSpec("b", 1)))


async def test_topics_that_nobody_wants_are_left_alone(admin: MemoryAdmin) -> None:
    await admin.create_topics([TopicSpec("a", 4), TopicSpec("other", 1)])
    assert await plan_topics(admin, [TopicSpec("a", 4)]) == Plan()


async def test_missing_topics_come_once_and_in_order(admin: MemoryAdmin) -> None:
    await admin.create_topics([TopicSpec("a", 1)])
    assert await missing_topics(admin, ["c", "a", "b", "c"]) == ("c", "b")
    assert await missing_topics(admin, []) == ()


def test_only_of_cleanup_policies_the_order_says_nothing() -> None:
    spec = TopicSpec("a", 4, config={"x": "a,b"})
    assert compare_topics([spec], found(config={"x": "b,a"})).changes


def test_a_cleanup_policy_that_the_broker_does_not_name_is_set() -> None:
    spec = TopicSpec("a", 4, config={"cleanup.policy": "compact"})
    assert compare_topics([spec], found()).changes
