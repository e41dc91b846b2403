import asyncio
from pathlib import Path

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import TopicSpec
from streamapp.clock import SystemClock
from streamapp.errors import BrokerError, TopicError
from streamapp.topics.apply import apply_plan
from streamapp.topics.catalogue import read_catalogue
from streamapp.topics.plan import (
    AddPartitions,
    ChangeConfig,
    CreateTopic,
    Plan,
    TopicChange,
    plan_topics,
)

EXAMPLE_TOPICS = Path(__file__).parents[3] / "topics"


@pytest.fixture
def admin() -> MemoryAdmin:
    return MemoryBroker(SystemClock()).admin()


async def test_the_declared_topics_are_made_and_a_second_time_nothing_is_left(
    admin: MemoryAdmin,
) -> None:
    specs = (await asyncio.to_thread(read_catalogue, EXAMPLE_TOPICS)).specs()
    done = await apply_plan(admin, await plan_topics(admin, specs))
    assert [change.spec for change in done if isinstance(change, CreateTopic)] == list(specs)
    assert await plan_topics(admin, specs) == Plan()
    assert await apply_plan(admin, Plan()) == ()


async def test_a_changed_declaration_is_carried_out_and_reported(admin: MemoryAdmin) -> None:
    await admin.create_topics(
        [TopicSpec("a", 2, config={"retention.ms": "5", "segment.ms": "7"}), TopicSpec("b", 2)]
    )
    wanted = [
        TopicSpec("a", 4, config={"retention.ms": "6"}),
        TopicSpec("b", 3),
        TopicSpec("new", 1),
    ]
    heard: list[TopicChange] = []
    plan = await plan_topics(admin, wanted, unkeyed={"a"})
    done = await apply_plan(admin, plan, yes=True, on_done=heard.append)
    assert done == (
        CreateTopic(TopicSpec("new", 1)),
        ChangeConfig("a", {"retention.ms": "5"}, {"retention.ms": "6"}),
        AddPartitions("a", 2, 4, keyed=False),
        AddPartitions("b", 2, 3, keyed=True),
    )
    assert heard == list(done)
    topics = await admin.describe_topics(["a", "b", "new"])
    assert {name: topic.partitions for name, topic in topics.items()} == {"a": 4, "b": 3, "new": 1}
    assert topics["a"].config["retention.ms"] == "6"
    assert topics["a"].config["segment.ms"] == "7"
    assert await plan_topics(admin, wanted) == Plan()


async def test_a_plan_with_a_refusal_is_not_begun(admin: MemoryAdmin) -> None:
    await admin.create_topics([TopicSpec("keyed", 2), TopicSpec("wide", 8)])
    plan = await plan_topics(
        admin, [TopicSpec("new", 1), TopicSpec("keyed", 3), TopicSpec("wide", 4)]
    )
    with pytest.raises(TopicError) as caught:
        await apply_plan(admin, plan)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(TopicError, match="never removed"):
        await apply_plan(admin, plan, yes=True)
    assert await admin.list_topics() == {"keyed", "wide"}
    assert (await admin.describe_topics(["keyed"]))["keyed"].partitions == 2


class BreaksOnPartitions(MemoryAdmin):
    async def add_partitions(self, topic: str, total: int) -> None:
        raise BrokerError(f"no answer for {topic} and {total}")


async def test_after_a_failure_a_new_plan_holds_the_rest(admin: MemoryAdmin) -> None:
    await admin.create_topics([TopicSpec("a", 1)])
    wanted = [TopicSpec("a", 2), TopicSpec("new", 1)]
    broken = BreaksOnPartitions(admin._topics, admin._groups, admin._network)
    heard: list[TopicChange] = []
    plan = await plan_topics(broken, wanted, unkeyed={"a"})
    with pytest.raises(BrokerError, match="no answer"):
        await apply_plan(broken, plan, on_done=heard.append)
    assert heard == [CreateTopic(TopicSpec("new", 1))]
    assert (await plan_topics(admin, wanted)).changes == (AddPartitions("a", 1, 2, keyed=True),)


async def test_a_declaration_that_the_broker_refuses_is_told(admin: MemoryAdmin) -> None:
    plan = await plan_topics(admin, [TopicSpec("a", 1, config={"no.such.config": "1"})])
    with pytest.raises(TopicError, match=r"no\.such\.config"):
        await apply_plan(admin, plan)
