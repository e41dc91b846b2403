"""When the outputs of records leave, and in which order."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.protocols import ProducerConfig
from streamapp.errors import BrokerError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import StoredRecord, TopicPartition
from streamapp.runtime.config import Environment, RuntimeConfig
from streamapp.runtime.flush import Flush, Outlets
from streamapp.runtime.outbox import Outbox
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.partition import Partition
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.work import Work
from tests.hand_clock import HandClock
from tests.unit.runtime.faults import FaultyBroker, until
from tests.unit.runtime.virtual import broker_with, in_virtual_time


async def test_an_output_leaves_after_its_linger_though_the_clock_is_a_tick_behind() -> None:
    broker = FaultyBroker()
    await broker.create("a-out")
    clock = HandClock()  # it stands still; the timer of the event loop does not
    producer = SharedProducer(broker, ProducerConfig(), clock, random.Random(0))
    await producer.start()
    config = RuntimeConfig(linger_seconds=0.01)
    environment = Environment(
        broker, broker.admin(), producer, clock, random.Random(0), config, execution_id="e"
    )
    outbox = Outbox(
        environment,
        1 << 20,
        metrics=StageMetrics("a", "stage", "a-in"),
        on_finished=lambda _flush: None,
        on_failed=fail,
    )
    sending = asyncio.create_task(outbox.run())
    topics = await broker.admin().describe_topics(["a-out"])
    target = OutputTopic(topics["a-out"], StageMetrics("a", "stage", "a-in"))

    work = Work(StoredRecord(0, 0, b"k", b"1"), Partition(TopicPartition("a-in", 0)), b"k")
    work.outputs = [(target, b"k", b"1", ())]
    outbox.add(work)  # and the lanes do not run dry

    await until(lambda: broker.values("a-out") == [b"1"])
    sending.cancel()


def fail(error: BaseException) -> None:
    raise error


@dataclass(slots=True)
class Sending:
    """An outbox at work on the topic `out`.

    Attributes:
        broker, outbox: they.
        target: the topic.
        producer: what the outbox sends with.
        partition: where the records come from.
        finished: offsets of the records of each flush that was acknowledged.
        failed: what it reported as failed.
    """

    broker: FaultyBroker
    outbox: Outbox
    target: OutputTopic
    producer: SharedProducer
    partition: Partition
    finished: list[list[int]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)

    def add(self, *offsets: int) -> None:
        """Take over records with one output each."""
        for offset in offsets:
            work = Work(StoredRecord(offset, 0, b"k", b"1"), self.partition, b"k")
            work.outputs = [(self.target, b"k", b"%d" % offset, ())]
            self.outbox.add(work)

    async def send(self, offset: int) -> None:
        """Send a record at once, and wait until that was done or cannot be done now."""
        self.add(offset)
        self.outbox.flush_now()
        await asyncio.sleep(1)

    def is_empty(self) -> bool:
        return self.outbox.empty

    def sent(self) -> list[bytes | None]:
        return self.broker.values("out")


@asynccontextmanager
async def sending(config: RuntimeConfig) -> AsyncIterator[Sending]:
    broker = await broker_with("out")
    clock, rng = broker.clock, random.Random(0)
    producer = SharedProducer(broker, ProducerConfig(), clock, rng)
    await producer.start()
    environment = Environment(broker, broker.admin(), producer, clock, rng, config, "e")
    topics = await broker.admin().describe_topics(["out"])
    target = OutputTopic(topics["out"], StageMetrics("a", "stage", "in"))

    def finished(flush: Flush) -> None:
        found.finished.append([n for share in flush.shares.values() for n in share.offsets])

    def failed(error: BaseException) -> None:
        found.failed.append(error)

    outbox = Outbox(
        environment, 1 << 20, metrics=target.metrics, on_finished=finished, on_failed=failed
    )
    partition = Partition(TopicPartition("in", 0))
    found = Sending(broker, outbox, target, producer, partition)
    running = asyncio.create_task(outbox.run())
    try:
        yield found
    finally:
        running.cancel()


PATIENT = RuntimeConfig(flush_records=3, linger_seconds=60, delivery_timeout_seconds=120)


@in_virtual_time
async def test_a_flush_leaves_when_it_is_full_and_not_before() -> None:
    async with sending(PATIENT) as at:
        at.add(0, 1)
        at.outbox.flush_if_full()
        await asyncio.sleep(10)
        assert at.sent() == []
        at.add(2)
        at.outbox.flush_if_full()
        await asyncio.sleep(1)
        assert at.sent() == [b"0", b"1", b"2"]
        assert at.finished == [[0, 1, 2]]
        assert at.is_empty()


@in_virtual_time
async def test_a_flush_that_is_sent_in_a_hurry_leaves_the_next_one_its_time() -> None:
    async with sending(PATIENT) as at:
        at.broker.unanswered.add("out")
        await at.send(0)
        assert at.sent() == [b"0"]
        at.add(1)
        at.broker.answers[0].set_result(None)  # the outbox looks whether there is more to send
        await asyncio.sleep(50)
        assert at.finished == [[0]]
        assert at.sent() == [b"0"]
        await asyncio.sleep(11)
        assert at.sent() == [b"0", b"1"]


@in_virtual_time
async def test_nothing_is_sent_while_two_flushes_are_unacknowledged() -> None:
    async with sending(PATIENT) as at:
        at.broker.unanswered.add("out")
        for n in range(4):
            await at.send(n)
        assert at.sent() == [b"0", b"1"]
        at.broker.answers[1].set_result(None)
        await asyncio.sleep(1)
        assert at.finished == [[1]]
        assert at.sent() == [b"0", b"1", b"2", b"3"]  # those that waited leave together
        for answer in at.broker.answers:
            if not answer.done():
                answer.set_result(None)
        await asyncio.sleep(1)
        assert at.finished == [[1], [0], [2, 3]]
        assert at.is_empty()


@in_virtual_time
async def test_who_keeps_what_belongs_to_the_open_flush_books_it_before_the_flush_is_closed() -> (
    None
):
    async with sending(PATIENT) as at:
        records = FetchedList([StoredRecord(7, 0, b"k", b"1")])
        outlets = Outlets((), keep_keys=True, order_key=lambda record: record.key)
        at.outbox.before_flush_closes = lambda: at.outbox.flush().add_finished(
            at.partition, records, 0, 1, outlets
        )
        await at.send(0)
        assert at.finished == [[0, 7]]


@in_virtual_time
async def test_a_batch_without_an_acknowledgement_fails_at_its_deadline_once() -> None:
    async with sending(PATIENT) as at:
        at.broker.unanswered.add("out")
        for n in range(2):
            await at.send(n)
        await asyncio.sleep(117.9)
        assert at.failed == []
        await asyncio.sleep(0.2)
        assert [str(error) for error in at.failed] == ["a batch was not acknowledged within 120 s"]
        await asyncio.sleep(10)  # beyond the deadline of the second
        assert len(at.failed) == 1


@in_virtual_time
async def test_a_batch_that_cannot_be_handed_to_the_producer_fails_at_its_deadline() -> None:
    async with sending(PATIENT) as at:
        at.broker.held["out"] = asyncio.Event()
        at.add(0)
        at.outbox.flush_now()
        await asyncio.sleep(119.9)
        assert at.failed == []
        await asyncio.sleep(0.2)
        assert len(at.failed) == 1


@in_virtual_time
async def test_a_flush_without_a_producer_fails() -> None:
    async with sending(PATIENT) as at:
        at.add(0)
        await at.producer.stop()
        at.outbox.flush_now()
        await asyncio.sleep(1)
        assert [str(error) for error in at.failed] == ["the producer is being replaced"]


@in_virtual_time
async def test_a_batch_that_the_producer_gives_up_fails_and_nothing_is_sent_until_a_discard() -> (
    None
):
    async with sending(PATIENT) as at:
        at.broker.unanswered.add("out")
        await at.send(0)
        at.broker.answers[0].cancel()
        await asyncio.sleep(1)
        assert [str(error) for error in at.failed] == ["a batch was given up by the producer"]
        await at.send(1)
        assert at.sent() == [b"0"]
        assert not at.is_empty()
        at.outbox.discard()
        assert at.is_empty()
        at.broker.unanswered.clear()
        await at.send(2)
        assert at.sent() == [b"0", b"2"]
        assert at.finished == [[2]]


@in_virtual_time
async def test_what_becomes_of_discarded_batches_is_nobodys_concern() -> None:
    async with sending(PATIENT) as at:
        at.broker.unanswered.add("out")
        for n in range(2):
            await at.send(n)
        at.outbox.discard()
        acknowledged, refused = at.broker.answers
        acknowledged.set_result(None)
        refused.set_exception(BrokerError("too late"))
        await asyncio.sleep(200)  # beyond their deadlines
        assert (at.finished, at.failed) == ([], [])


@in_virtual_time
async def test_what_was_acknowledged_of_discarded_flushes_is_told_once() -> None:
    async with sending(PATIENT) as at:
        at.broker.unanswered.add("out")
        for n in range(2):
            await at.send(n)
        at.outbox.discard()
        at.broker.answers[0].set_result(None)
        at.broker.answers[1].set_exception(BrokerError("too late"))
        await asyncio.sleep(1)
        assert [one.offsets for one in at.outbox.take_acknowledged().values()] == [[0]]
        assert at.outbox.take_acknowledged() == {}


@in_virtual_time
async def test_what_was_acknowledged_behind_a_batch_that_failed_is_not_finished() -> None:
    async with sending(PATIENT) as at:
        at.broker.unanswered.add("out")
        for n in range(2):
            await at.send(n)
        at.broker.answers[0].set_exception(BrokerError("refused"))
        await asyncio.sleep(1)
        at.outbox.discard()
        at.broker.answers[1].set_result(None)
        await asyncio.sleep(1)
        assert [one.offsets for one in at.outbox.take_acknowledged().values()] == [[]]


@in_virtual_time
async def test_later_flushes_do_not_wait_for_a_discarded_one_that_cannot_be_handed_over() -> None:
    async with sending(PATIENT) as at:
        at.broker.held["out"] = asyncio.Event()
        await at.send(0)
        at.outbox.discard()
        at.broker.held.clear()
        at.add(1)
        at.outbox.flush_now()
        await asyncio.sleep(3)
        assert at.sent() == [b"1"]
        assert (at.finished, at.failed) == ([[1]], [])


@in_virtual_time
async def test_a_flush_can_be_discarded_while_its_delivery_times_out() -> None:
    async with sending(PATIENT) as at:
        at.broker.held["out"] = asyncio.Event()
        await at.send(0)
        scope, here = at.outbox._handing_over, asyncio.get_running_loop()
        assert scope is not None
        scope.reschedule(here.time())
        here.call_soon(at.outbox.discard)  # before the task that has timed out runs
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at.broker.held.clear()
        await at.send(1)
        assert at.sent() == [b"1"]
