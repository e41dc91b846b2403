"""An agent that does not end when it is cancelled holds its own partition and nothing else."""

import asyncio
import logging

import pytest

from streamapp.brokers.protocols import ProducerConfig, TopicSpec
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import retry
from streamapp.record import TopicPartition
from streamapp.runtime import lane
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed


class Stubborn:
    """An agent that is deaf to cancellation on one record, until it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.calls = 0

    def agent(self) -> Agent[bytes, bytes]:
        @agent(name="stage")
        async def stubborn(value: bytes) -> bytes:
            if value != b"stuck":
                return value
            self.calls += 1
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    continue
            return value

        return stubborn


async def broker_with_two_partitions() -> FaultyBroker:
    broker = FaultyBroker()
    specs = [TopicSpec("in", 2), TopicSpec("out", 1), TopicSpec("p.stage.dlq", 1)]
    await broker.admin().create_topics(specs)
    return broker


async def write(broker: FaultyBroker, partition: int, *values: bytes) -> None:
    producer = broker.producer(ProducerConfig())
    await producer.start()
    batch = producer.create_batch()
    for value in values:
        assert batch.append(timestamp=1, key=value, value=value) is not None
    await (await producer.send_batch(batch, "in", partition))
    await producer.stop()


def service(broker: FaultyBroker, stubborn: Stubborn, **settings: float) -> Service:
    pipeline = (
        Pipeline("p", source=Topic("in", bytes))
        .stage(stubborn.agent(), on_error=retry(0), **settings)  # type: ignore[arg-type]  # the test names fields of the class
        .sink(Topic("out", bytes))
    )
    return Service(broker, [build(pipeline)])


async def test_a_replay_opens_the_other_partitions_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane, "CANCEL_AGAIN_SECONDS", 0.01)
    broker, stubborn = await broker_with_two_partitions(), Stubborn()
    await write(broker, 0, b"stuck")
    stuck_service = service(broker, stubborn)
    async with running(stuck_service):
        await until(lambda: stubborn.calls == 1)
        broker.fail_batches["out"] = 1
        await write(broker, 1, b"other")
        await until(lambda: broker.values("out") == [b"other"], seconds=20)
        assert broker.fired["out"] == 1
        assert stubborn.calls == 1, "its record must not meet its own last attempt"
        stubborn.gate.set()
        await until_committed(broker, "p.stage", 2)
    assert stubborn.calls == 2
    assert broker.values("out") == [b"other", b"stuck"]


async def test_it_is_reported_once_and_other_records_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lane, "CANCEL_AGAIN_SECONDS", 0.01)
    broker, stubborn = await broker_with_two_partitions(), Stubborn()
    await write(broker, 0, b"stuck", b"a", b"b")
    stuck_service = service(broker, stubborn, timeout_seconds=0.05)
    with caplog.at_level(logging.WARNING, "streamapp.runtime.in_flight"):
        async with running(stuck_service):
            await until(lambda: stuck_service.metrics[0].stuck_attempts == 1)
            await until(lambda: broker.values("out") == [b"a", b"b"])
            assert await broker.committed("p.stage") == 0
            await write(broker, 0, b"c", b"d")
            await until(lambda: broker.values("out") == [b"a", b"b", b"c", b"d"])
            await asyncio.sleep(0.3)  # it is looked for again meanwhile
            stubborn.gate.set()
            await until_committed(broker, "p.stage", 5)
            await until(lambda: stuck_service.metrics[0].stuck_attempts == 0)
    told = [r.getMessage() for r in caplog.records if "does not end although" in r.getMessage()]
    assert len(told) == 1
    assert f"{TopicPartition('in', 0).topic}[0] at offset 0" in told[0]
