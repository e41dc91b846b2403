"""Batches that a thread compresses are those that the event loop would have made."""

import asyncio
import threading
from concurrent.futures import Future

import pytest
from aiokafka.record.memory_records import MemoryRecords

from streamapp.brokers.compression import BatchCompression, Compression
from streamapp.brokers.kafka import batch as kafka_batch
from streamapp.brokers.kafka.batch import KafkaBatch
from streamapp.brokers.kafka.compressor import Compressor
from streamapp.brokers.kafka.connection import Connection
from streamapp.brokers.kafka.producer import KafkaProducer
from streamapp.brokers.protocols import ProducerConfig
from streamapp.errors import BrokerError, ConfigurationError
from streamapp.settings import KafkaSettings

PRODUCER = {"producer_id": 7, "producer_epoch": 3, "base_sequence": 11}


def filled(codec: Compression, compressor: Compressor | None, *, size: int = 100) -> KafkaBatch:
    batch = KafkaBatch(1_000_000, BatchCompression(codec), compressor=compressor)
    for n in range(size):
        batch.appender(n, 1000 + n, b"key", b"%d " % n * 20, [("name", b"content")])
    batch.seal(size)
    return batch


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("codec", list(Compression))
async def test_the_bytes_are_the_same_with_the_state_of_the_producer(
    codec: Compression, size: int
) -> None:
    compressor = Compressor()
    sent = []
    for one in (None, compressor):
        batch = filled(codec, one, size=size)
        await batch.compressed()
        batch._set_producer_state(**PRODUCER)
        sent.append(bytes(batch._build()))
    compressor.stop()
    assert sent[0] == sent[1]
    assert MemoryRecords(sent[1]).next_batch().validate_crc()


async def test_the_loop_goes_on_while_a_batch_is_compressed_and_later_ones_wait_for_it() -> None:
    compressor, may_end = Compressor(), threading.Event()

    def wait(batch: bytearray) -> bytearray:
        assert may_end.wait(10)
        return batch

    blocking = compressor.begin(wait, bytearray())
    batch = filled(Compression.ZSTD, compressor)
    waiting = asyncio.ensure_future(batch.compressed())
    await asyncio.sleep(0)
    assert not blocking.done()
    assert not waiting.done()
    may_end.set()
    await waiting
    assert blocking.done()
    compressor.stop()


async def test_a_codec_that_fails_is_an_error_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_batch: bytearray, *, compression: BatchCompression) -> bytearray:
        raise MemoryError(compression)

    monkeypatch.setattr(kafka_batch, "_compressed", fail)
    compressor = Compressor()
    with pytest.raises(BrokerError, match="could not be compressed with lz4: MemoryError"):
        await filled(Compression.LZ4, compressor).compressed()
    compressor.stop()


async def test_what_a_stopped_producer_has_not_compressed_fails_and_is_not_waited_for() -> None:
    compressor, may_end, began = Compressor(), threading.Event(), threading.Event()

    def wait(batch: bytearray) -> bytearray:
        began.set()
        may_end.wait(10)
        return batch

    blocking: Future[bytearray] = compressor.begin(wait, bytearray())
    assert await asyncio.to_thread(began.wait, 10)
    queued = filled(Compression.ZSTD, compressor)
    compressor.stop()
    late = filled(Compression.ZSTD, compressor)
    assert not blocking.done()
    may_end.set()
    for batch in (queued, late):
        with pytest.raises(BrokerError, match="stopped before this batch was compressed"):
            await batch.compressed()


async def test_a_producer_has_a_thread_only_if_it_is_asked_for() -> None:
    connection = Connection(KafkaSettings())
    for in_thread in (False, True):
        producer = KafkaProducer(
            ProducerConfig(), connection, Compression.ZSTD, in_thread=in_thread
        )
        batch = producer.create_batch()
        batch.append(timestamp=1, key=b"k", value=b"value " * 1000)
        batch.seal(1)
        await batch.compressed()
        assert (batch._sent is not None) is in_thread
        await producer.stop()


def test_a_thread_without_a_codec_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"_COMPRESS_IN_THREAD is set, but .*=none"):
        KafkaSettings(compress_in_thread=True)
