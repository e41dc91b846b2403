"""The brokers under test: each test runs on the memory broker and on a real Kafka."""

import asyncio
import socket

import pytest
from aiokafka import AIOKafkaProducer

from streamapp.brokers.compression import Compression
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.kafka.forced_close import force_close
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import ProducerConfig
from streamapp.clock import SystemClock
from streamapp.record import TopicPartition
from streamapp.settings import KafkaSettings
from tests.contract.harness import PATIENCE_SECONDS, Subject, send
from tests.contract.unreadable import write_unreadable
from tests.kafka import Kafka, unique_name
from tests.patience import within


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        return memory_subject()
    return kafka_subject(request.getfixturevalue("kafka"))


def memory_subject() -> Subject:
    broker = MemoryBroker(SystemClock())
    unreachable = MemoryBroker(SystemClock())
    unreachable.network.is_up = False

    async def open_gap(partition: TopicPartition) -> None:
        broker.skip_offsets(partition, 3)

    async def put_unreadable(partition: TopicPartition) -> None:
        producer, admin = broker.producer(ProducerConfig()), broker.admin()
        await producer.start()
        end = (await admin.end_offsets([partition]))[partition]
        broker.make_unreadable(partition, end)
        await send(producer, partition.topic, [b"unreadable"], partition.partition)
        await producer.stop()

    def compressing(codec: Compression, *, in_thread: bool = False) -> MemoryBroker:  # noqa: ARG001 - it copies, and compresses little
        broker.compression = codec
        return broker

    return Subject(broker, unreachable, "memory:0", open_gap, put_unreadable, compressing)


def kafka_subject(kafka: Kafka) -> Subject:
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))

    async def open_gap(partition: TopicPartition) -> None:
        """Two records that are aborted, and the marker of that."""
        admin = broker.admin()
        await admin.start()
        start = (await admin.end_offsets([partition]))[partition]
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, transactional_id=unique_name("gap")
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            for _ in range(2):
                await producer.send_and_wait(partition.topic, b"gap", partition=partition.partition)
            await producer.abort_transaction()
            async with within(PATIENCE_SECONDS, f"the marker behind {start + 2} of {partition}"):
                # The marker is written some time after the answer.
                while (await admin.end_offsets([partition]))[partition] != start + 3:  # noqa: ASYNC110 - no broker tells when
                    await asyncio.sleep(0.01)
        finally:
            await producer.stop()
            await force_close(producer)  # its sender may have connected once more meanwhile
            await admin.stop()

    def compressing(codec: Compression, *, in_thread: bool = False) -> KafkaBroker:
        servers = kafka.bootstrap_servers
        return KafkaBroker(
            KafkaSettings(
                bootstrap_servers=servers, compression=codec.value, compress_in_thread=in_thread
            )
        )

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{probe.getsockname()[1]}"
    return Subject(
        broker,
        KafkaBroker(KafkaSettings(bootstrap_servers=nowhere, connect_timeout_seconds=5)),
        nowhere,
        open_gap,
        lambda partition: write_unreadable(kafka, partition, good=0),
        compressing,
    )
