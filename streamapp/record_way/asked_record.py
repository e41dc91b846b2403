"""The record that is asked for, or one sentence that says why there is none."""

from streamapp.brokers.protocols import Admin
from streamapp.errors import ConfigurationError, TopicError
from streamapp.record_way.found import Address, Found
from streamapp.record_way.neighbours import Neighbours
from streamapp.record_way.search import Search
from streamapp.registry.nearest import did_you_mean


async def asked_record(
    admin: Admin, search: Search, neighbours: Neighbours, asked: Address
) -> Found:
    """Read the record at this place.

    Raises:
        TopicError: there is no such topic, partition or record, or it was deleted.
        ConfigurationError: no stage reads or writes the topic.
    """
    topic, partition = asked.place
    count = (await admin.partition_counts([topic])).get(topic)
    if count is None:
        near = did_you_mean(topic, await admin.list_topics())
        raise TopicError(f"there is no topic {topic!r}; {near}")
    if partition >= count:
        raise TopicError(f"topic {topic!r} has the partitions 0 to {count - 1}, and no {partition}")
    if not neighbours.of(topic):
        names = ", ".join(dict.fromkeys(one.pipeline for one in neighbours.segments))
        raise ConfigurationError(
            f"no stage of {names} reads or writes the topic {topic!r}; give the pipeline that does"
        )
    begin = (await admin.beginning_offsets([asked.place]))[asked.place]
    end = (await admin.end_offsets([asked.place]))[asked.place]
    if asked.offset < begin:
        raise TopicError(
            f"there is no record at {asked} any more: the topic has deleted all below {begin:,}"
        )
    if asked.offset >= end:
        raise TopicError(
            f"there is no record at {asked} yet: the partition ends at {end:,}"
            + ("; it is empty" if begin == end else f", the last offset is {end - 1:,}")
        )
    record = await search.record_at(asked.place, asked.offset)
    if record is None:
        raise TopicError(
            f"there is no record at {asked}: it is the marker of a transaction, part of one that"
            " was aborted, or was removed by compaction"
        )
    return Found(asked.place, record)
