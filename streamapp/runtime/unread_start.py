"""Tells that records were deleted before a group had read any: nothing else would show it."""

import logging
from collections.abc import Iterable, Mapping

from streamapp.brokers.protocols import Admin, TopicDescription
from streamapp.errors import BrokerError
from streamapp.pipeline.topology import Segment
from streamapp.record import TopicPartition

log = logging.getLogger(__name__)


def sources_of_groups(
    segments: Iterable[Segment], existing: Mapping[str, TopicDescription]
) -> Mapping[str, Mapping[str, int]]:
    """Number of partitions of each source, by the group that reads it."""
    found: dict[str, dict[str, int]] = {}
    for segment in segments:
        own = {name: existing[name].partitions for name in segment.sources_among(existing)}
        found.setdefault(segment.group, {}).update(own)
    return found


async def tell_unread_starts(admin: Admin, group: str, partitions: Mapping[str, int]) -> None:
    """Log each partition whose log does not start at 0, and of which the group has no commit.

    A group with a commit learns of deleted records by its lost position. Without one it begins at
    whatever is left, as a new group of an old topic should: that is no error, but it is said.

    Args:
        admin: asks the broker.
        group: name of the group.
        partitions: number of partitions of each topic that it reads.
    """
    names = [TopicPartition(topic, i) for topic, count in partitions.items() for i in range(count)]
    try:
        committed = await admin.committed_offsets(group)
        fresh = [name for name in names if name not in committed]
        beginnings = await admin.beginning_offsets(fresh) if fresh else {}
    except BrokerError as error:  # whoever needs these offsets asks for them again
        log.warning("whether records were deleted before %s read any is unknown: %s", group, error)
        return
    for name in sorted(beginnings):
        if beginnings[name]:
            log.warning(
                "group %s has committed nothing of %s[%d], whose first %d offsets are deleted: it"
                " begins with the records that are left",
                group,
                name.topic,
                name.partition,
                beginnings[name],
            )
