"""Tells which records of failed flushes are finished all the same.

When one batch of a flush fails, the others may have been acknowledged. Records whose outputs are
all in acknowledged batches are finished; to work on them again would write their outputs twice.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamapp.brokers.partitioner import partition_for
from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics
from streamapp.runtime.flush import Flush, Outlets, PartitionRecords, Place
from streamapp.runtime.partition import Partition


@dataclass(frozen=True, slots=True)
class Finished:
    """Records of one input partition that are finished.

    Attributes:
        offsets: their offsets, in rising order.
        dead_letters: the counters of the dead letters that they became.
    """

    offsets: Sequence[int]
    dead_letters: Sequence[tuple[StageMetrics, DeadLetterReason]]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A record, where its outputs may be, and whether one of them is not acknowledged."""

    offset: int
    order_key: bytes | None
    places: Collection[Place]
    is_acknowledged: bool
    dead_letters: Sequence[tuple[StageMetrics, DeadLetterReason]] = ()


def finished_in(flushes: Sequence[Flush]) -> Mapping[Partition, Finished]:
    """The finished records of flushes that failed, or were given up with one that failed.

    Args:
        flushes: in the order in which they were sent.
    """
    candidates: dict[Partition, list[_Candidate]] = {}
    for flush in flushes:
        for partition, share in flush.shares.items():
            candidates.setdefault(partition, []).extend(_candidates(flush, share))
    return {partition: _finished(found) for partition, found in candidates.items()}


def suspects_of(flush: Flush, place: Place) -> Mapping[Partition, Sequence[int]]:
    """Offsets of the records that may have an output in a place, by input partition."""
    return {
        partition: [one.offset for one in _candidates(flush, share) if place in one.places]
        for partition, share in flush.shares.items()
    }


def _finished(candidates: list[_Candidate]) -> Finished:
    """Those that are finished, without what would leave the outputs of a key in a wrong order.

    A record that is not finished writes all its outputs again. Later outputs of its key in the same
    places have to be written again behind them, so that the last one stays the last.
    """
    repeated: set[tuple[bytes, Place]] = set()
    finished: list[_Candidate] = []
    for one in sorted(candidates, key=lambda candidate: candidate.offset):
        key = one.order_key
        places = [] if key is None else [(key, place) for place in one.places]
        if one.is_acknowledged and repeated.isdisjoint(places):
            finished.append(one)
        else:
            repeated.update(places)
    return Finished(
        [one.offset for one in finished],
        [letter for one in finished for letter in one.dead_letters],
    )


def _candidates(flush: Flush, share: PartitionRecords) -> Iterator[_Candidate]:
    failed = flush.waiting.keys()
    for work in share.works:
        acknowledged = work.places.isdisjoint(failed)
        yield _Candidate(work.offset, work.order_key, work.places, acknowledged, work.dead_letters)
    for records, first, until, outlets in share.runs:
        everywhere = _all_places(flush, outlets)
        for i in range(first, until):
            record = records[i]
            places = everywhere
            if outlets.keep_keys:
                places = _places_of_key(flush, outlets, record.key)
            acknowledged = not any(place in failed for place in places)
            yield _Candidate(record.offset, outlets.order_key(record), places, acknowledged)


def _all_places(flush: Flush, outlets: Outlets) -> Collection[Place]:
    """Where outputs with keys of their own may be."""
    topics = [topic for topic in outlets.topics if topic in flush.partitions]
    return [(topic, number) for topic in topics for number in range(flush.partitions[topic][0])]


def _places_of_key(flush: Flush, outlets: Outlets, key: bytes | None) -> Collection[Place]:
    """Where an output with the key of its record is, if it is not filtered."""
    places: list[Place] = []
    for topic in outlets.topics:
        if topic in flush.partitions:
            partitions, keyless = flush.partitions[topic]
            places.append((topic, keyless if key is None else partition_for(key, partitions)))
    return places
