"""Old events pass through topics with a shorter retention, and keep their time."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.memory.topics import MemoryTopic
from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import Permanent
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.policy import dead_letter, retry
from streamapp.record import (
    EVENT_TIME_HEADER,
    Headers,
    StoredRecord,
    TopicPartition,
    event_timestamp,
)
from streamapp.runtime.event_times import need_dating
from streamapp.runtime.output_topic import OutputTopic
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.patience import within
from tests.simulation.loop import EPOCH_SECONDS, VirtualClock
from tests.unit.brokers.manual_clock import ManualClock
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import Longest, in_virtual_time, loop

DAY_MS = 86_400_000
NOW_MS = int(EPOCH_SECONDS * 1000)
OLD_MS = NOW_MS - 30 * DAY_MS
OLD_HEADER = (EVENT_TIME_HEADER, str(OLD_MS).encode())
TOPICS = ("p-in", "p-mid", "p-out", "p.first.dlq", "p.second.dlq")


def two_stages(first: Any, second: Any) -> Topology:
    return build(
        Pipeline("p", source=Topic("p-in", bytes))
        .stage(first, name="first", on_error=dead_letter(), output=Topic("p-mid", bytes))
        .stage(second, name="second", on_error=retry(2, then=dead_letter()))
        .sink(Topic("p-out", bytes))
    )


async def broker_with_topics(**config: str) -> FaultyBroker:
    broker = FaultyBroker(VirtualClock(loop()))
    kafka_names = {name.replace("_", "."): value for name, value in config.items()}
    await broker.admin().create_topics(
        [TopicSpec(name, 1, config=kafka_names if name == "p-mid" else {}) for name in TOPICS]
    )
    return broker


async def run_to_end(broker: FaultyBroker, topology: Topology, *stages: str) -> Service:
    service = Service(broker, [topology], stages=stages, clock=broker.clock, rng=Longest(1))
    async with within(60, "the end of bounded work"):
        await service.run(until_end=True)
    return service


@agent
async def slow(value: bytes) -> bytes:
    await asyncio.sleep(0.01)
    return value


@agent
def listed(value: bytes) -> Iterator[bytes]:
    yield value


@agent
def with_headers(value: bytes) -> Out[bytes]:
    return Out(value, headers=[("own", b"1")])


@agent
def listed_with_headers(value: bytes) -> Iterator[Out[bytes]]:
    yield Out(value, headers=[("own", b"1")])


@agent
def with_key(value: bytes) -> Out[bytes]:
    return Out(value, key="own")


AGENTS = [same, slow, listed, with_headers, listed_with_headers, with_key]


@pytest.mark.parametrize("first", AGENTS)
@pytest.mark.parametrize("second", AGENTS)
@pytest.mark.parametrize("config", [{}, {"message_timestamp_type": "LogAppendTime"}])
@in_virtual_time
async def test_a_backfill_of_old_events_loses_none_between_two_stages_and_keeps_their_times(
    first: Any, second: Any, config: dict[str, str]
) -> None:
    broker = await broker_with_topics(**config)
    topology = two_stages(first, second)
    await broker.write("p-in", (b"k", b"old"), timestamp=OLD_MS)
    await run_to_end(broker, topology, "first")
    broker.delete_expired()
    service = await run_to_end(broker, topology, "second")
    [record] = broker.records("p-out")
    assert record.timestamp == OLD_MS
    assert EVENT_TIME_HEADER not in dict(record.headers)
    ages = service.metrics[0].age
    assert ages.total == pytest.approx(30 * DAY_MS, rel=0.001), "its age is that of its event"


@in_virtual_time
async def test_agents_are_told_the_time_of_the_event() -> None:
    broker, told = await broker_with_topics(), list[datetime | None]()

    @agent
    def note(value: bytes, context: Context) -> bytes:
        told.append(context.timestamp)
        return value

    await broker.write("p-in", (b"k", b"old"), timestamp=OLD_MS)
    await run_to_end(broker, two_stages(note, note))
    assert told == [datetime.fromtimestamp(OLD_MS / 1000, tz=UTC)] * 2


@in_virtual_time
async def test_a_dead_letter_of_an_old_event_is_not_deleted_and_names_its_time() -> None:
    broker = await broker_with_topics()

    @agent
    def fail(value: bytes) -> bytes:
        raise Permanent(value)

    await broker.write("p-in", (b"k", b"old"), timestamp=OLD_MS)
    await run_to_end(broker, two_stages(same, fail))
    broker.delete_expired()
    [letter] = broker.records("p.second.dlq")
    assert letter.timestamp >= NOW_MS
    assert OLD_HEADER in letter.headers
    assert dict(letter.headers)["streamapp.error.timestamp"] == str(OLD_MS).encode()


@in_virtual_time
async def test_recent_events_have_their_own_timestamps_and_no_header_between_stages() -> None:
    broker = await broker_with_topics()
    recent = NOW_MS - DAY_MS // 2
    await broker.write("p-in", (b"k", b"1"), timestamp=recent, headers=[("h", b"1")])
    await run_to_end(broker, two_stages(same, same), "first")
    [record] = broker.records("p-mid")
    assert (record.timestamp, list(record.headers)) == (recent, [("h", b"1")])


@in_virtual_time
async def test_old_and_recent_events_of_one_chunk_are_told_apart() -> None:
    broker = await broker_with_topics()
    for timestamp in (NOW_MS, OLD_MS, NOW_MS - 1):
        await broker.write("p-in", (b"k", b"%d" % timestamp), timestamp=timestamp)
    await run_to_end(broker, two_stages(same, same), "first")
    kept = [(record.value, list(record.headers)) for record in broker.records("p-mid")]
    assert kept == [
        (b"%d" % NOW_MS, []),
        (b"%d" % OLD_MS, [OLD_HEADER]),
        (b"%d" % (NOW_MS - 1), []),
    ]
    await run_to_end(broker, two_stages(same, same), "second")
    assert [record.timestamp for record in broker.records("p-out")] == [NOW_MS, OLD_MS, NOW_MS - 1]


def target(
    config: Mapping[str, str] | None = None, *, kept: bool = True
) -> tuple[OutputTopic, ManualClock]:
    clock = ManualClock()
    names = {name.replace("_", "."): value for name, value in (config or {}).items()}
    topic = MemoryTopic(TopicSpec("t", 1, config=names)).describe()
    metrics = StageMetrics("p", "s", "in")
    return OutputTopic(topic, metrics, clock.time, is_read_later=kept), clock


@pytest.mark.parametrize(
    ("config", "age_ms", "is_kept"),
    [
        ({"retention_ms": "8000"}, 1000, True),
        ({"retention_ms": "8000"}, 1001, False),
        ({"retention_ms": "8000", "cleanup_policy": "compact"}, 10**12, True),
        ({"retention_ms": "8000", "cleanup_policy": "compact,delete"}, 1001, False),
        ({"retention_ms": "-1"}, 10**12, True),
        ({"retention_ms": "-1", "message_timestamp_before_max_ms": "8000"}, 7000, True),
        ({"retention_ms": "-1", "message_timestamp_before_max_ms": "8000"}, 7001, False),
        ({"message_timestamp_after_max_ms": "8000"}, -7000, True),
        ({"message_timestamp_after_max_ms": "8000"}, -7001, False),
        ({"message_timestamp_type": "LogAppendTime"}, 0, False),
    ],
)
def test_an_event_keeps_its_timestamp_within_the_limits_of_a_topic_that_is_read_later(
    config: dict[str, str], age_ms: int, *, is_kept: bool
) -> None:
    topic, clock = target(config)
    now = int(clock.time() * 1000)
    event = now - age_ms
    expected: tuple[Headers, int] = ([], event)
    if not is_kept:
        expected = ([(EVENT_TIME_HEADER, b"%d" % event)], now)
    assert topic.event_times.date([], event) == expected
    assert topic.event_times.suits(event, event) == is_kept
    other, _ = target(config, kept=False)
    assert other.event_times.date([], event) == ([], event), "retention of a sink is the user's"


def test_records_are_dated_one_by_one_if_one_of_their_topics_needs_it() -> None:
    (narrow, clock), (wide, _) = target({"retention_ms": "8000"}), target({"retention_ms": "-1"})
    now = int(clock.time() * 1000)
    records = FetchedList([StoredRecord(0, now - 2000, None, b"old")])
    times = [wide.event_times, narrow.event_times]
    assert need_dating(records, times, have_headers=False)
    assert not need_dating(records, [wide.event_times], have_headers=False)
    sink, _ = target({"retention_ms": "8000"}, kept=False)
    assert not need_dating(records, [sink.event_times], have_headers=False)


def test_records_are_dated_one_by_one_if_one_of_them_is_too_far_ahead() -> None:
    bounded, clock = target({"message_timestamp_after_max_ms": "8000"})
    now = int(clock.time() * 1000)
    records = [StoredRecord(n, now + n * 8000, None, b"x", ()) for n in range(2)]
    assert need_dating(FetchedList(records), [bounded.event_times], have_headers=False)
    assert not need_dating(FetchedList(records[:1]), [bounded.event_times], have_headers=False)


@pytest.mark.parametrize("event_ms", [0, OLD_MS, 2**63 - 1])
def test_the_header_of_an_event_time_takes_no_more_than_is_reserved_for_it(event_ms: int) -> None:
    bounded, _ = target({"message_timestamp_after_max_ms": "8000", "retention_ms": "8000"})
    [(name, content)], _ = bounded.event_times.date((), event_ms)
    assert content is not None
    longest_lengths = 5 + 5  # https://kafka.apache.org/documentation/#recordheader
    assert longest_lengths + len(name) + len(content) <= bounded.event_times.extra_bytes


def test_records_are_dated_one_by_one_if_a_header_of_one_has_its_event_time() -> None:
    (sink, clock) = target(kept=False)
    now = int(clock.time() * 1000)
    other = StoredRecord(0, now, None, b"other", [("trace", b"1")])
    dated = StoredRecord(1, now, None, b"dated", [("trace", b"1"), OLD_HEADER])
    times = [sink.event_times]
    assert need_dating(FetchedList([other, dated]), times, have_headers=True)
    assert not need_dating(FetchedList([other]), times, have_headers=True)
    assert not need_dating(FetchedList([other, dated]), times, have_headers=False)


@pytest.mark.parametrize("content", [b"", b"soon", None, b"-2", str(2**63).encode()])
def test_a_header_of_that_name_that_is_no_time_is_left_alone(content: Any) -> None:
    topic, _ = target()
    headers = [(EVENT_TIME_HEADER, content)]
    now = int(ManualClock().time() * 1000)
    assert topic.event_times.date(headers, now) == (headers, now)


def test_the_header_of_the_event_time_is_part_of_the_size() -> None:
    kept, _ = target({"max_message_bytes": "1000"})
    free, _ = target({"max_message_bytes": "1000"}, kept=False)
    value = b"v" * 870
    assert free.takes(b"", value, ())
    assert not kept.takes(b"", value, ())


@in_virtual_time
async def test_what_was_deleted_before_a_group_had_read_anything_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_with_topics()
    await broker.write("p-mid", (b"k", b"1"), (b"k", b"2"), (b"k", b"3"))
    await broker.admin().delete_records({TopicPartition("p-mid", 0): 2})
    await run_to_end(broker, two_stages(same, same), "second")
    await run_to_end(broker, two_stages(same, same), "second")
    told = [record.getMessage() for record in caplog.records]
    expected = (
        "group p.second has committed nothing of p-mid[0], whose first 2 offsets are deleted: it"
        " begins with the records that are left"
    )
    assert told.count(expected) == 1


@in_virtual_time
async def test_what_is_deleted_while_the_stage_before_works_is_told_in_bounded_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_with_topics()

    @agent
    async def delete_the_last(value: bytes) -> bytes:
        end = len(broker.records("p-mid"))
        await broker.admin().delete_records({TopicPartition("p-mid", 0): end})
        return value

    await broker.write("p-in", (b"k", b"1"))
    await run_to_end(broker, two_stages(same, same), "first")
    await broker.write("p-in", (b"k", b"2"))
    await run_to_end(broker, two_stages(delete_the_last, same))
    told = [record.getMessage() for record in caplog.records]
    assert sum("p-mid[0], whose first 1 offsets are deleted" in line for line in told) == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, None),
        ({"retention_ms": "3600000"}, None),
        ({"retention_ms": "-1"}, None),
        ({"retention_ms": "3599999"}, "topic p-mid keeps records for 3600 s only (retention.ms)"),
        ({"retention_bytes": "1000"}, "topic p-mid keeps 1000 bytes of each partition"),
        ({"retention_bytes": "1000", "cleanup_policy": "compact"}, None),
    ],
)
@in_virtual_time
async def test_a_topic_that_may_delete_records_unread_is_told_at_the_start(
    config: dict[str, str], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await broker_with_topics(**config)
    await run_to_end(broker, two_stages(same, same), "first")
    told = [record.getMessage() for record in caplog.records if "p-mid" in record.getMessage()]
    assert len(told) == (said is not None)
    assert told == [] or told[0].startswith(said or "")


@pytest.mark.parametrize("limit", [1_048_588 + 65_536, 1_048_588 + 65_535])
@in_virtual_time
async def test_a_dead_letter_topic_that_may_be_too_narrow_is_told_at_the_start(
    limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await broker_with_topics()
    config = {"max.message.bytes": str(limit)}
    await broker.admin().alter_topic_config("p.first.dlq", config)
    await run_to_end(broker, two_stages(same, same), "first")
    told = [record.getMessage() for record in caplog.records if ".dlq" in record.getMessage()]
    narrow = f"topic p.first.dlq takes batches of {limit} bytes"
    assert [line for line in told if line.startswith(narrow)] == told
    assert len(told) == (limit < 1_048_588 + 65_536)


def test_a_stored_record_is_as_old_as_its_event() -> None:
    assert event_timestamp(StoredRecord(0, NOW_MS, None, b"", [OLD_HEADER])) == OLD_MS
    assert event_timestamp(StoredRecord(0, NOW_MS, None, b"")) == NOW_MS
