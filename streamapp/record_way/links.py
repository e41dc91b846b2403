"""Whether one record was made of another, and how certain that is.

What a stage writes has the event time of what it read, and its key and headers unless the agent
gives others. Nothing else is carried for each record, because it would cost for each record. Where
an audit trail is written anyway, it names the record.
"""

from dataclasses import dataclass
from enum import StrEnum

from streamapp.pipeline.topology import Segment
from streamapp.record_way.found import Found


class Certainty(StrEnum):
    """How certain it is that two records belong together."""

    CERTAIN = "certain"  # the record itself says it
    PROBABLE = "probable"  # another record with the same key in the same millisecond is told alike
    POSSIBLE = "possible"  # nothing but the time or the key tells it from others


@dataclass(frozen=True, slots=True)
class Link:
    """A record that belongs to another.

    Attributes:
        found: the record.
        certainty: how certain it is.
        by: what tells it.
    """

    found: Found
    certainty: Certainty
    by: str


def made_of(segment: Segment, source: Found, output: Found) -> tuple[Certainty, str] | None:
    """Whether a segment has made the output of what it read; how certain, and by what.

    Args:
        segment: what read the one and may have written the other.
        source: a record of a topic that it reads.
        output: a record of a topic that it writes its outputs to.
    """
    if output.made_from is not None and segment.has_source(output.made_from.place.topic):
        is_it = output.made_from == source.address
        return (Certainty.CERTAIN, "by its audit trail") if is_it else None
    if output.event_ms != source.event_ms or _are_of_two_traces(source, output):
        return None
    return _by_likeness(source, output)


def _by_likeness(source: Found, output: Found) -> tuple[Certainty, str] | None:
    is_timed, key = source.event_ms >= 0, source.record.key
    if key is not None and key == output.record.key:
        return (
            (Certainty.PROBABLE, "by key and time") if is_timed else (Certainty.POSSIBLE, "by key")
        )
    if not is_timed:
        return None
    if source.own_headers and source.own_headers == output.own_headers:
        return Certainty.PROBABLE, "by headers and time"
    is_alone = key is None and output.record.key is None
    return (Certainty.POSSIBLE, "by time alone") if is_alone else None


def _are_of_two_traces(source: Found, output: Found) -> bool:
    known = (source.trace_id, output.trace_id)
    return None not in known and known[0] != known[1]
