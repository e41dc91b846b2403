"""Records that fit their topics only compressed: written, or known to be too large beforehand."""

import os
from dataclasses import replace
from random import Random

import orjson
import pytest

from streamapp.brokers.compression import Compression
from streamapp.brokers.protocols import ProducerConfig
from streamapp.errors import BatchRefusedError, Permanent, StageStoppedError
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.agent import agent
from streamapp.policies.policy import dead_letter
from streamapp.record import TopicPartition
from tests.contract.harness import Subject, group_of, read, read_values
from tests.contract.pipelines import Item, Rig, error_headers, numbers
from tests.kafka import unique_name

EVERY = pytest.mark.parametrize("codec", list(Compression))
LIMIT = 1_048_588  # Kafka's own default
HEADERS = [("trace", b"\x00\xff"), ("empty", b"")]


def document(n: int = 0) -> bytes:
    """An item of 3 MB of JSON, which any codec makes smaller than a topic's limit."""
    rng = Random(n)
    kinds = [b"%016x" % rng.getrandbits(64) for _ in range(50)]
    text = b" ".join(rng.choice(kinds) for _ in range(180_000))
    return orjson.dumps({"n": n, "text": text.decode()})


LARGE = document(1)


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("large"))


def compressing(rig: Rig, codec: Compression) -> Rig:
    """The same topics, but outputs are compressed."""
    return Rig(replace(rig.subject, broker=rig.subject.compressing(codec)), rig.name)


async def put_compressed(rig: Rig, value: bytes) -> None:
    """Write a record as a producer does that compresses with gzip."""
    async with rig.subject.producer(ProducerConfig()) as producer:
        batch = producer.create_batch(LIMIT, [Compression.GZIP])
        assert batch.append(timestamp=None, key=b"k", value=value, headers=HEADERS) is not None
        await (await producer.send_batch(batch, rig.source().name, 0))


@agent
def same(item: Item) -> Item:
    return item


@agent
def failing(item: Item) -> Item:
    raise Permanent(f"no {item.n}")


@pytest.mark.parametrize("in_thread", [False, True])
@EVERY
async def test_compressed_batches_are_read_as_they_were_written(
    subject: Subject, codec: Compression, *, in_thread: bool
) -> None:
    topic = await subject.topic()
    values = [b"%d " % n * 100 for n in range(200)]
    compressed = replace(subject, broker=subject.compressing(codec, in_thread=in_thread))
    await compressed.write(topic, values)
    await compressed.write(topic, [os.urandom(1000), b""])
    async with subject.member(group_of(topic)) as consumer:
        assert (await read_values(consumer, 202))[:200] == values


@EVERY
async def test_the_limit_of_a_topic_is_compared_with_the_compressed_batch(
    subject: Subject, codec: Compression
) -> None:
    topic = await subject.topic()
    compressed = replace(subject, broker=subject.compressing(codec))
    async with compressed.producer() as producer:
        batch = producer.create_batch()
        batch.append(timestamp=1, key=b"k", value=LARGE, headers=HEADERS)
        assert batch.size() > LIMIT
        await (await producer.send_batch(batch, topic, 0))
    async with subject.member(group_of(topic)) as consumer:
        [record] = (await read(consumer, 1))[TopicPartition(topic, 0)]
    assert (record.key, record.value, list(record.headers)) == (b"k", LARGE, HEADERS)


async def test_a_topic_that_is_stored_uncompressed_refuses_what_is_too_large_then(
    subject: Subject,
) -> None:
    topic = await subject.topic(compression_type="uncompressed")
    async with subject.producer() as producer:
        batch = producer.create_batch(LIMIT, [Compression.GZIP])
        batch.append(timestamp=1, key=b"k", value=LARGE)
        with pytest.raises(BatchRefusedError):
            await (await producer.send_batch(batch, topic, 0))


@EVERY
async def test_with_compression_a_record_that_fits_only_so_goes_through(
    rig: Rig, codec: Compression
) -> None:
    pipeline = rig.pipeline().stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(2, 40), keys=1, text="x" * 10_000)
    await put_compressed(rig, LARGE)
    await rig.put_items(range(40, 80), keys=1, text="x" * 10_000)
    service = await compressing(rig, codec).run_to_end(pipeline)
    records = await rig.read(rig.out)
    assert numbers(records) == [*range(2, 40), 1, *range(40, 80)]
    assert (records[38].value, list(records[38].headers)) == (LARGE, HEADERS)
    assert service.metrics[0].producer_replacements == 0


async def test_without_compression_it_is_the_records_fault_and_its_dead_letter_arrives_whole(
    rig: Rig,
) -> None:
    pipeline = rig.pipeline().stage(same, on_error=dead_letter()).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items([2], keys=1)
    await put_compressed(rig, LARGE)
    await rig.put_items([3], keys=1)
    service = await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [2, 3]
    [letter] = await rig.read(rig.dead_letters("same"))
    assert (letter.key, letter.value) == (b"k", LARGE)
    assert list(letter.headers)[:2] == HEADERS
    told = error_headers(letter)
    assert (told["class"], told["offset"]) == ("RecordTooLargeError", "1")
    assert service.metrics[0].dead_letters[DeadLetterReason.OUTPUT] == 1
    assert service.metrics[0].producer_replacements == 0


async def test_dead_letters_that_fit_only_compressed_travel_beside_small_ones(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(failing, on_error=dead_letter()).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items([2, 3], keys=1)
    await put_compressed(rig, LARGE)
    await put_compressed(rig, document(4))
    await rig.put_items([5], keys=1)
    service = await rig.run_to_end(pipeline)
    assert numbers(await rig.read(rig.dead_letters("failing"))) == [2, 3, 1, 4, 5]
    assert service.metrics[0].producer_replacements == 0


@pytest.mark.parametrize("stored_as", ["gzip", "snappy", "lz4", "zstd"])
async def test_what_goes_to_a_topic_with_a_codec_of_its_own_is_compressed_with_that(
    rig: Rig, stored_as: str
) -> None:
    pipeline = rig.pipeline().stage(same).stage(failing, on_error=dead_letter()).sink(rig.out)
    own = {"compression.type": stored_as}
    letters, between = rig.dead_letters("failing"), f"{rig.name}.same"
    await rig.create(pipeline, partitions=1, config={letters: own, between: own})
    await put_compressed(rig, LARGE)
    other = Compression.LZ4 if stored_as == "zstd" else Compression.ZSTD
    service = await compressing(rig, other).run_to_end(pipeline)
    [letter] = await rig.read(letters)
    assert letter.value == LARGE
    assert [one.producer_replacements for one in service.metrics] == [0, 0]


async def test_an_output_that_is_too_large_even_compressed_is_the_records_fault(rig: Rig) -> None:
    @agent
    def noise(item: Item) -> Item:
        return Item(n=item.n, text=os.urandom(900_000).hex() if item.n == 1 else "")

    pipeline = rig.pipeline().stage(noise, on_error=dead_letter()).sink(rig.out)
    await rig.create(pipeline, partitions=1, config={rig.out: {"max.message.bytes": "500000"}})
    await rig.put_items(range(3), keys=1)
    service = await compressing(rig, Compression.ZSTD).run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [0, 2]
    [letter] = await rig.read(rig.dead_letters("noise"))
    assert "even compressed with zstd" in error_headers(letter)["message"]
    assert service.metrics[0].producer_replacements == 0


async def test_incompressible_outputs_up_to_the_limit_are_taken_with_compression(rig: Rig) -> None:
    """A codec makes them larger: such a batch is sent as it is."""

    @agent
    def noise(item: Item) -> bytes:
        return os.urandom(LIMIT - 97 - 1 - item.n)

    pipeline = rig.pipeline().stage(noise).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(3), keys=1)
    service = await compressing(rig, Compression.GZIP).run_to_end(pipeline)
    assert [len(r.value or b"") for r in await rig.read(rig.out)] == [
        LIMIT - 98 - n for n in range(3)
    ]
    assert service.metrics[0].producer_replacements == 0


@pytest.mark.parametrize(
    "config", [{"max.message.bytes": "2000"}, {"compression.type": "uncompressed"}]
)
async def test_a_dead_letter_that_fits_in_no_way_stops_the_stage(
    rig: Rig, config: dict[str, str]
) -> None:
    pipeline = rig.pipeline().stage(failing, on_error=dead_letter()).sink(rig.out)
    await rig.create(pipeline, partitions=1, config={rig.dead_letters("failing"): config})
    await put_compressed(rig, LARGE)
    with pytest.raises(StageStoppedError, match="its dead letter does not fit"):
        await rig.run_to_end(pipeline)
    assert await rig.committed("failing") in ({}, {rig.first_partition(): 0})


async def test_outputs_that_a_thread_compresses_keep_their_order(rig: Rig) -> None:
    in_thread = rig.subject.compressing(Compression.GZIP, in_thread=True)
    threaded = Rig(replace(rig.subject, broker=in_thread), rig.name)
    pipeline = threaded.pipeline().stage(same, ordering="partition").sink(threaded.out)
    await threaded.create(pipeline, partitions=1)
    await threaded.put_items(range(2000), keys=1)
    await threaded.run_to_end(pipeline)
    assert await threaded.read_numbers(threaded.out) == list(range(2000))
