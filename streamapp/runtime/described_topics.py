"""Asks the broker what the topics of segments are like."""

from collections.abc import Collection, Mapping, Sequence

from streamapp.brokers.protocols import Admin, TopicDescription
from streamapp.errors import MissingTopicsError
from streamapp.pipeline.topology import Segment


async def described_topics(
    admin: Admin, segments: Sequence[Segment]
) -> Mapping[str, TopicDescription]:
    """The topics that segments read and write, by name; replay topics only if they exist.

    Raises:
        TopicError: one is missing, or too many match a pattern.
        BrokerError: the broker does not answer.
    """
    names: dict[str, None] = {}
    replays: set[str] = set()
    matching: set[str] = set()
    existing: Collection[str] = ()
    if any(segment.patterns for segment in segments):
        existing = await admin.list_topics()
    for segment in segments:
        names.update(dict.fromkeys(segment.read_topics))
        names.update(dict.fromkeys(segment.written_topics()))
        replays.update(segment.replay_topics)
        matching.update(segment.topics_among(existing))
    found = await admin.describe_topics([*names, *((matching | replays) - names.keys())])
    if missing := [name for name in names if name not in found]:
        raise MissingTopicsError(missing)
    return found
