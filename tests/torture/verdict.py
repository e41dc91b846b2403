"""Compares outputs with inputs exactly, with a plain client."""

import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.verifier.drain import drain


@dataclass(frozen=True, slots=True)
class Seen:
    """A record that was read from a topic.

    Attributes:
        id: id that the feeder gave the record.
        key: its key.
        partition: its partition.
        appended_ms: when the broker appended it.
        pid: process id of the worker that wrote it; 0 in the source.
    """

    id: int
    key: bytes
    partition: int
    appended_ms: int
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What the verifier counted, in records.

    Attributes:
        acknowledged: sends that the broker acknowledged.
        unknown: sends whose result is unknown.
        source: records in the source.
        outputs: records in the sink.
        lost: records of the source without an output.
        forgotten: acknowledged records that are not in the source: the broker lost them.
        duplicates: outputs beyond one for each record of the source.
        strangers: outputs without a record in the source, or with another key.
        inversions: first outputs that come after one of a later record of their key.
        dead_letters: records in the dead-letter topic.
    """

    acknowledged: int
    unknown: int
    source: int
    outputs: int
    lost: int
    forgotten: int
    duplicates: int
    strangers: int
    inversions: int
    dead_letters: int
    examples: Mapping[str, Sequence[int]] = field(default_factory=dict)


async def read(bootstrap_servers: str, topic: str) -> list[Seen]:
    """All records of a topic; records of one partition are in their order."""
    found = []
    async for record in drain(bootstrap_servers, topic):
        value = json.loads(record.value)
        found.append(
            Seen(
                value["id"],
                record.key or b"",
                record.partition,
                record.timestamp,
                value.get("pid", 0),
            )
        )
    return found


def judge(
    acknowledged: Collection[int],
    unknown: Collection[int],
    source: Sequence[Seen],
    outputs: Sequence[Seen],
    dead_letters: int,
) -> Counts:
    """Compare outputs with inputs; no difference is allowed for."""
    wanted, written = Counter(one.id for one in source), Counter(one.id for one in outputs)
    lost = wanted.keys() - written.keys()
    forgotten = set(acknowledged) - wanted.keys()
    repeated = {
        number: count - wanted[number]
        for number, count in written.items()
        if number in wanted and count > wanted[number]
    }
    keys = {one.id: one.key for one in source}
    strangers = [one.id for one in outputs if keys.get(one.id) != one.key]
    inverted = _inverted(source, outputs)
    return Counts(
        acknowledged=len(acknowledged),
        unknown=len(unknown),
        source=len(source),
        outputs=len(outputs),
        lost=len(lost),
        forgotten=len(forgotten),
        duplicates=sum(repeated.values()),
        strangers=len(strangers),
        inversions=len(inverted),
        dead_letters=dead_letters,
        examples={
            "lost": sorted(lost)[:5],
            "forgotten": sorted(forgotten)[:5],
            "duplicates": sorted(repeated)[:5],
            "strangers": strangers[:5],
            "inversions": inverted[:5],
        },
    )


def _inverted(source: Iterable[Seen], outputs: Iterable[Seen]) -> list[int]:
    """First outputs that come after an output of a later record of their key."""
    place = {one.id: i for i, one in reversed(list(enumerate(source)))}
    latest: dict[bytes, int] = {}
    seen: set[int] = set()
    found = []
    for one in outputs:
        if one.id in seen or one.id not in place:
            continue
        seen.add(one.id)
        before = latest.get(one.key, -1)
        if place[one.id] < before:
            found.append(one.id)
        latest[one.key] = max(before, place[one.id])
    return found


def longest_gaps(
    outputs: Iterable[Seen], partitions: int, *, since_ms: int, until_ms: int
) -> list[float]:
    """Longest time without an output, in seconds, of each partition between two moments."""
    times: list[list[int]] = [[since_ms] for _ in range(partitions)]
    for one in outputs:
        if since_ms <= one.appended_ms <= until_ms:
            times[one.partition].append(one.appended_ms)
    gaps = []
    for own in times:
        own.append(until_ms)
        own.sort()
        gaps.append(max(b - a for a, b in itertools.pairwise(own)) / 1000)
    return gaps


def recovery_seconds(outputs: Iterable[Seen], partitions: int, *, since_ms: int) -> float | None:
    """Time from a moment until every partition had an output; `None` if one never had."""
    first: dict[int, int] = {}
    for one in outputs:
        if one.appended_ms >= since_ms:
            first[one.partition] = min(one.appended_ms, first.get(one.partition, one.appended_ms))
    if len(first) < partitions:
        return None
    return (max(first.values()) - since_ms) / 1000
