"""Tells which topics of segments may lose records, or have too little room for dead letters."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from streamapp.brokers.protocols import TopicDescription
from streamapp.pipeline.topology import Segment
from streamapp.topics.letter_limits import letter_risks
from streamapp.topics.retention import retention_risks

log = logging.getLogger(__name__)


def tell_risks(
    segments: Sequence[Segment], between: Collection[str], topics: Mapping[str, TopicDescription]
) -> None:
    """Log what `topic_risks` finds."""
    for risk in topic_risks(segments, between, topics):
        log.warning("%s", risk)


def topic_risks(
    segments: Sequence[Segment], between: Collection[str], topics: Mapping[str, TopicDescription]
) -> Iterator[str]:
    """Which topics may delete records unread, or have too little room for dead letters.

    Args:
        segments: the segments.
        between: topics that one stage writes and another reads.
        topics: what all their topics are like.
    """
    delays = {
        name: topic.delay_seconds
        for segment in segments
        for name, topic in segment.retry_topics.items()
    }
    letters = {step.dead_letters for segment in segments for step in segment.steps}
    for name in sorted(topics.keys() & {*between, *letters}):
        yield from retention_risks(topics[name], delays.get(name, 0.0))
    for name, sources in sorted(_sources_of_letters(segments, topics).items()):
        originals = [topics[source] for source in sources]
        yield from letter_risks(topics[name], originals, are_retries=name in delays)


def _sources_of_letters(
    segments: Iterable[Segment], existing: Collection[str]
) -> Mapping[str, set[str]]:
    """Each dead-letter topic with the topics that its records come from."""
    found: dict[str, set[str]] = {}
    for segment in segments:
        for step in segment.steps:
            for name in (step.dead_letters, *(topic.name for topic in step.retry_topics)):
                found.setdefault(name, set()).update(segment.sources_among(existing))
    return found
