"""Tells what became of the mutants: lines and a table for the terminal, Markdown for the page."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.mutation.equivalents import read_reasons
from tests.mutation.rooms import ROOMS, Room
from tests.mutation.session import TIMED_OUT, Result
from tests.torture.report import PAGE, put

KILLED = Path(__file__).with_name("killed.txt")
"""The critical mutants that tests kill, each with the test; samples of it are tried in CI."""

_NAMES = [room.name for room in ROOMS]
_HEADS = ("room", "mutants", "killed", "timed out", "survived", "equivalent", "score", "bound")


@dataclass(slots=True)
class Score:
    """What became of the mutants of a room.

    Attributes:
        room: it.
        killed, timed_out: found by a test, or by its deadline.
        survived: not found, and not named as equivalent.
        equivalent: named, and not found.
        complaints: what is wrong with the names of equivalents.
    """

    room: Room
    killed: int = 0
    timed_out: int = 0
    survived: list[Result] = field(default_factory=list)
    equivalent: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def counted(self) -> int:
        """Mutants that a test could find."""
        return self.killed + self.timed_out + len(self.survived)

    @property
    def share(self) -> float:
        return (self.killed + self.timed_out) / self.counted if self.counted else 1.0

    @property
    def is_reached(self) -> bool:
        return self.share >= self.room.bound and not self.complaints

    def cells(self) -> tuple[str, ...]:
        """Its line of a table."""
        found = (self.killed, self.timed_out)
        counts = (self.counted + self.equivalent, *found, len(self.survived), self.equivalent)
        shares = (f"{self.share:.1%}", f"{self.room.bound:.0%}")
        return (self.room.name, *map(str, counts), *shares)


def scores(
    rooms: Sequence[Room],
    room_of: Mapping[str, Room],
    results: Sequence[Result],
    equivalents: Mapping[str, str],
) -> list[Score]:
    """The score of each room, with what is wrong with its named equivalents."""
    found = {room.name: Score(room) for room in rooms}
    known = {result.mutant.name for result in results}
    for result in results:
        score = found[room_of[result.mutant.file].name]
        name = result.mutant.name
        if name in equivalents and result.killer is None:
            score.equivalent += 1
            continue
        if name in equivalents:
            score.complaints.append(f"named as equivalent, but found by {result.killer}: {name}")
        if result.killer is None:
            score.survived.append(result)
        elif result.killer == TIMED_OUT:
            score.timed_out += 1
        else:
            score.killed += 1
    for name in equivalents.keys() - known:
        file = f"streamapp/{name.partition(' ')[0]}"
        if file in room_of:
            complaint = f"named as equivalent, but no mutant any more: {name}"
            found[room_of[file].name].complaints.append(complaint)
    return list(found.values())


def progress(done: int, count: int, result: Result, seconds: float) -> None:
    """One line for each mutant that survives, and a count for all."""
    if result.killer is None:
        reached = f"{result.tests} tests reach it" if result.tests else "no test reaches it"
        mutant = result.mutant
        sys.stdout.write(f"survived: {mutant.name}  [line {mutant.line}, {reached}]\n")
    elif done % 50 == 0 or done == count:
        sys.stdout.write(f"{done} of {count} after {seconds:.0f} s\n")
    sys.stdout.flush()


def told(scores: Sequence[Score]) -> Iterator[str]:
    """A table, and what is wrong."""
    rows = [_HEADS, *(score.cells() for score in scores)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADS))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    for score in scores:
        yield from score.complaints
        if score.share < score.room.bound:
            name, bound = score.room.name, score.room.bound
            yield f"{name}: {score.share:.1%} is below its bound of {bound:.0%}"


def write(scores: Sequence[Score], results: Sequence[Result], every: int) -> None:
    """Keep the scores in the page, and which test kills which critical mutant; others stay.

    Args:
        scores: of the rooms that were tried.
        results: of their mutants.
        every: one mutant of so many was tried; of a sample only the scores are kept.
    """
    tried = f"{datetime.now(UTC):%Y-%m-%d}" + (f", one in {every}" if every > 1 else "")
    rows = {score.room.name: f"| {' | '.join((*score.cells(), tried))} |" for score in scores}
    for line in PAGE.read_text().splitlines():
        name = line.removeprefix("| ").partition(" ")[0]
        if name in _NAMES and line.count("|") == len(_HEADS) + 2:
            rows.setdefault(name, line)
    heads = [f"| {' | '.join((*_HEADS, 'tried'))} |", f"|{' --- |' * (len(_HEADS) + 1)}"]
    known = [rows[name] for name in _NAMES if name in rows]
    put("mutants", "\n".join([*heads, *known]), target="mutate")
    if every == 1:
        _keep_killers(scores, results)


def _keep_killers(scores: Sequence[Score], results: Sequence[Result]) -> None:
    tried = {file for score in scores for file in score.room.files()}
    critical = {file for score in scores if score.room.is_critical for file in score.room.files()}
    kept = {
        name: killer
        for name, killer in read_reasons(KILLED).items()
        if f"streamapp/{name.partition(' ')[0]}" not in tried
    }
    kept |= {
        result.mutant.name: result.killer
        for result in results
        if result.mutant.file in critical and result.killer and "::" in result.killer
    }
    KILLED.write_text("".join(f"{name}  ## {test}\n" for name, test in sorted(kept.items())))
