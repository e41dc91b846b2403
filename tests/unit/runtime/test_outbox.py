"""When the outputs of records leave, and in which order."""

import asyncio
import random

from streamapp.brokers.protocols import ProducerConfig
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import StoredRecord, TopicPartition
from streamapp.runtime.config import Environment, RuntimeConfig
from streamapp.runtime.outbox import Outbox
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.partition import Partition
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.work import Work
from tests.hand_clock import HandClock
from tests.unit.runtime.faults import FaultyBroker, until


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
    outbox = Outbox(environment, on_finished=lambda _flush: None, on_failed=fail)
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
