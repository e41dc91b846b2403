"""Reads topics to their end with a plain client, outside any group."""

from collections.abc import AsyncIterator, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.verifier.seen import Place, Raw, raw_of

_CHUNK_RECORDS = 5_000


async def drain(bootstrap_servers: str, topic: str) -> AsyncIterator[ConsumerRecord]:
    """Every committed record of a topic, from its start to the offsets that stand now.

    Raises:
        LookupError: there is no such topic.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    open_partitions = {
        TopicPartition(topic, number)
        for number in range(await _partitions(bootstrap_servers, topic))
    }
    await consumer.start()
    try:
        consumer.assign(open_partitions)
        await consumer.seek_to_beginning(*open_partitions)
        ends = await consumer.end_offsets(open_partitions)
        while True:
            open_partitions = {
                partition
                for partition in open_partitions
                if await consumer.position(partition) < ends[partition]
            }
            if not open_partitions:
                return
            fetched = await consumer.getmany(
                *open_partitions, timeout_ms=1000, max_records=_CHUNK_RECORDS
            )
            for partition, records in fetched.items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield record
    finally:
        await consumer.stop()


async def originals(bootstrap_servers: str, places: Collection[Place]) -> dict[Place, Raw]:
    """The records at these places."""
    wanted = set(places)
    found: dict[Place, Raw] = {}
    for topic in sorted({topic for topic, _, _ in wanted}):
        async for record in drain(bootstrap_servers, topic):
            place = (record.topic, record.partition, record.offset)
            if place in wanted:
                found[place] = raw_of(record)
    return found


async def _partitions(bootstrap_servers: str, topic: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        (answer,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    if not answer["partitions"]:
        raise LookupError(f"there is no topic {topic!r} at {bootstrap_servers}")
    return len(answer["partitions"])
