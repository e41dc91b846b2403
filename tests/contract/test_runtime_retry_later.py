"""Retries that let others go on, on a broker: records wait in topics until they are due."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from streamapp.cli.needed_topics import needed_topics
from streamapp.clock import SystemClock
from streamapp.observability.health import stage_health
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry, retry_later
from streamapp.record import Record, TopicPartition
from streamapp.runtime.config import RuntimeConfig
from streamapp.topics.apply import apply_plan
from streamapp.topics.plan import CreateTopic, Plan, plan_topics
from tests.contract.harness import SESSION_SECONDS, Subject
from tests.contract.pipelines import QUICK, Item, Rig, error_headers, eventually, numbers
from tests.kafka import unique_name

SHORT, LONG = 0.3, 1.5
CLOCK = SystemClock()
CONFIG = RuntimeConfig(
    commit_interval_seconds=0.05, shutdown_drain_seconds=5, session_timeout_seconds=SESSION_SECONDS
)


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("later"))


class Calls:
    """An agent that fails so often for the number 3, and when it was called with which number."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.at: list[tuple[int, float]] = []

    @property
    def agent(self) -> Any:
        @agent
        async def picky(item: Item) -> Item:
            await asyncio.sleep(0)
            self.at.append((item.n, CLOCK.time()))
            if item.n == 3 and self.failures:
                self.failures -= 1
                raise ValueError("three")
            return item

        return picky

    def times(self, number: int) -> list[float]:
        return [at for called, at in self.at if called == number]


def later(rig: Rig, calls: Calls, *delays: float, **settings: Any) -> Pipeline[Any, Any]:
    policy = retry_later(delays)
    return rig.pipeline().stage(calls.agent, on_error=policy, **settings).sink(rig.out)


def retry_topic(rig: Rig, name: str) -> str:
    return f"{rig.name}.picky.retry-{name}"


def own(record: Record) -> list[tuple[str, bytes]]:
    ours = ("streamapp.error.", "streamapp.context")
    return [header for header in record.headers if not header[0].startswith(ours)]


async def test_a_record_climbs_over_the_delays_and_its_dead_letter_tells_the_origin(
    rig: Rig,
) -> None:
    calls = Calls(failures=9)
    pipeline = later(rig, calls, SHORT, LONG)
    await rig.create(pipeline, partitions=1)
    value = b'{ "n": 3 }'
    await rig.put([(b"k", b'{"n":1}'), (b"k", value), (b"k", b'{"n":2}')], headers=[("h", b"\xff")])
    await rig.run_to_end(pipeline)
    first, second, third = calls.times(3)
    assert second - first >= SHORT
    assert third - second >= LONG
    assert await rig.read_numbers(rig.out) == [1, 2]
    waited = [await rig.read(retry_topic(rig, name)) for name in ("300ms", "1500ms")]
    for n, [record] in enumerate(waited, start=1):
        facts = error_headers(record)
        assert (record.key, record.value, own(record)) == (b"k", value, [("h", b"\xff")])
        assert (facts["topic"], facts["partition"], facts["offset"]) == (f"{rig.name}.in", "0", "1")
        assert (facts["attempts"], facts["retry"]) == (f"{n}", f"{n}")
    [letter] = await rig.read(rig.dead_letters("picky"))
    facts = error_headers(letter)
    assert (letter.key, letter.value, own(letter)) == (b"k", value, [("h", b"\xff")])
    assert (facts["topic"], facts["partition"], facts["offset"]) == (f"{rig.name}.in", "0", "1")
    assert (facts["attempts"], facts["reason"]) == ("3", "exhausted")
    assert int(facts["last_failure"]) - int(facts["first_failure"]) >= 1000 * (SHORT + LONG)
    assert not {"due", "delay", "retry"} & facts.keys()


async def test_the_dead_letter_is_that_which_the_policy_dead_letter_writes(
    subject: Subject,
) -> None:
    letters = []
    name = unique_name("later")
    for policy in (retry_later([SHORT]), dead_letter()):
        rig = Rig(subject, unique_name("later"))
        stage = rig.pipeline().stage(Calls(failures=9).agent, on_error=policy)
        pipeline = stage.sink(rig.out)
        await rig.create(pipeline, partitions=1)
        await rig.put([(b"k", b'{"n":3}')], headers=[("h", b"1")], timestamp=1_700_000_000_000)
        await rig.run_to_end(pipeline)
        [letter] = await rig.read(rig.dead_letters("picky"))
        facts = {k: v.replace(rig.name, name) for k, v in error_headers(letter).items()}
        for varies in ("attempts", "reason", "first_failure", "last_failure", "execution_id"):
            facts.pop(varies)
        order = [header for header, _ in letter.headers]
        event_time = dict(letter.headers).get("streamapp.event_time")
        letters.append((letter.key, letter.value, own(letter), facts, order, event_time))
    assert letters[0] == letters[1]


async def test_what_succeeds_later_is_written_as_always_and_others_do_not_wait(rig: Rig) -> None:
    calls = Calls(failures=1)
    pipeline = later(rig, calls, LONG)
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline) as service:
        await rig.put_items(range(10), keys=1)
        await eventually(lambda: service.metrics[0].processed == 10)
    came = await rig.read(rig.out)
    assert numbers(came) == [0, 1, 2, 4, 5, 6, 7, 8, 9, 3]
    assert own(came[-1]) == []
    assert not error_headers(came[-1])
    assert service.metrics[0].retried_later == 1


async def test_a_restart_while_a_record_waits_neither_loses_nor_hastens_it(rig: Rig) -> None:
    calls = Calls(failures=1)
    pipeline = later(rig, calls, 3.0)
    await rig.create(pipeline, partitions=2)
    await rig.put_items([3])
    for _ in range(2):
        async with rig.running(pipeline) as service:
            await eventually(lambda: bool(calls.at))
            await eventually(lambda: service.metrics[0].rebalances == 1)
            await asyncio.sleep(0)
    async with rig.running(pipeline):
        await eventually(lambda: len(calls.at) == 2)
        await eventually(lambda: _written(rig, 1))
    first, second = calls.times(3)
    assert second - first >= 3


async def _written(rig: Rig, count: int) -> bool:
    async with rig.subject.admin() as admin:
        ends = await admin.end_offsets([TopicPartition(rig.out, i) for i in range(2)])
    return sum(ends.values()) == count


async def test_a_rebalance_while_records_wait_neither_loses_nor_hastens_them(rig: Rig) -> None:
    calls = Calls(failures=0)
    failed: Counter[int] = Counter()

    @agent
    def picky(item: Item) -> Item:
        calls.at.append((item.n, CLOCK.time()))
        failed[item.n] += 1
        if failed[item.n] == 1:
            raise ValueError("at first")
        return item

    pipeline = rig.pipeline().stage(picky, on_error=retry_later([4]), breaker=None).sink(rig.out)
    await rig.create(pipeline, partitions=2)
    async with rig.running(pipeline, config=CONFIG) as first:
        await rig.put_items(range(20), keys=20)
        await rig.put_items(range(20, 40), keys=20, partition=1)
        await eventually(lambda: first.metrics[0].retried_later == 40)
        async with rig.running(pipeline, config=CONFIG) as second:
            await eventually(lambda: bool(second.metrics[0].partitions))
            await eventually(
                lambda: first.metrics[0].processed + second.metrics[0].processed >= 40,
                seconds=30,
            )
    assert set(await rig.read_numbers(rig.out)) == set(range(40))
    for n in range(40):
        before, *after = calls.times(n)
        assert all(at - before >= 4 for at in after)


async def test_a_member_whose_partitions_wait_stays_in_its_group_and_is_healthy(rig: Rig) -> None:
    calls = Calls(failures=1)
    pipeline = later(rig, calls, 1.5 * SESSION_SECONDS)
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline, config=CONFIG) as service:
        [metrics] = service.metrics
        await rig.put_items([3])
        await eventually(lambda: metrics.lag_records == 1)
        await eventually(lambda: any(p.waits_until for p in metrics.partitions.values()))
        while len(calls.at) == 1:
            assert stage_health(metrics, CLOCK.monotonic(), 3.0).ok
            await asyncio.sleep(0.1)
        await eventually(lambda: metrics.processed == 1)
    assert metrics.rebalances == 1


async def test_a_fused_stage_goes_on_where_it_failed(rig: Rig) -> None:
    calls, before = Calls(failures=2), Counter[int]()

    @agent
    def twice(item: Item) -> list[Item]:
        before[item.n] += 1
        return [item, Item(n=item.n + 100)]

    policy = retry(1, then=retry_later([SHORT]), backoff=Backoff(0.001))
    pipeline = (
        rig.pipeline()
        .stage(twice, on_error=dead_letter())
        .stage(calls.agent, on_error=policy, fused=True)
        .sink(rig.out)
    )
    await rig.create(pipeline, partitions=1)
    await rig.put_items([3, 4])
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == [3, 4, 103, 104]
    assert before == {3: 1, 4: 1}
    [waited] = await rig.read(retry_topic(rig, "300ms"))
    facts = error_headers(waited)
    assert (facts["stage"], facts["topic"], facts["offset"]) == ("picky", f"{rig.name}.in", "0")


async def test_bounded_work_of_several_stages_waits_for_what_is_retried_later(rig: Rig) -> None:
    calls = Calls(failures=2)
    assert QUICK.waits_until_due
    first = later(rig, calls, SHORT, 2 * SHORT).declarations[0].stage
    pipeline = (
        rig.pipeline()
        .stage(first.agent, on_error=first.config.policy)
        .stage(Calls(failures=0).agent, name="next", on_error=dead_letter())
        .sink(rig.out)
    )
    await rig.create(pipeline, partitions=2)
    await rig.put_items(range(6))
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == list(range(6))


async def test_topics_plan_and_apply_make_what_a_stage_that_retries_later_needs(rig: Rig) -> None:
    calls = Calls(failures=2)
    pipeline = later(rig, calls, SHORT, 86_400.0)
    async with rig.subject.admin() as admin:

        async def planned() -> Plan:
            topology = build(pipeline)
            existing = await admin.describe_topics(topology.topics())
            wanted = needed_topics(topology, existing=existing, partitions=3)
            return await plan_topics(admin, wanted, unkeyed=frozenset())

        changes = (await planned()).changes
        created = {change.spec.name for change in changes if isinstance(change, CreateTopic)}
        assert {retry_topic(rig, "300ms"), retry_topic(rig, "1d")} < created
        await apply_plan(admin, await planned())
        assert (await planned()).changes == ()
        topics = await admin.describe_topics(build(pipeline).topics())
    short, day = (topics[retry_topic(rig, name)] for name in ("300ms", "1d"))
    source = topics[rig.source().name]
    for topic in (short, day):
        assert topic.partitions == 3
        assert topic.max_message_bytes == source.max_message_bytes + 65_536
    assert (short.retention_ms, day.retention_ms) == (7 * 86_400_000, 8 * 86_400_000)
    async with rig.running(pipeline):
        await rig.put_items([3])
        await eventually(lambda: len(calls.at) == 2)
