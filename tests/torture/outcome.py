"""What a scenario found."""

from collections import Counter
from dataclasses import dataclass, field

from tests.torture.verdict import Counts


@dataclass(slots=True)
class Outcome:
    """The record of one run of a scenario.

    Attributes:
        scenario: its name.
        asked: the numbers that it was to run with, as text by what they are.
        faults: faults that were seen to fire, by kind.
        figures: what was measured, as text by what it is.
        recovery_seconds: longest time from the end of a fault to an output in every partition.
        counts: what the verifier counted.
        violations: what is not as it should be; none is a pass.
        mutant: the bug that was planted, if any.
        seconds: how long the run took.
    """

    scenario: str
    mutant: str | None = None
    asked: dict[str, str] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    figures: dict[str, str] = field(default_factory=dict)
    recovery_seconds: float | None = None
    counts: Counts | None = None
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return not self.violations

    def check(self, holds: bool, sentence: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.violations.append(sentence)

    def recovered(self, seconds: float | None, *, within: float, after: str) -> None:
        """Note how long a recovery took, and whether that was too long."""
        if seconds is None:
            self.violations.append(f"a partition had no output after {after}")
            return
        self.recovery_seconds = max(self.recovery_seconds or 0.0, seconds)
        self.check(seconds <= within, f"{seconds:.1f} s to recover after {after}, not {within:g}")

    def counted(self, counts: Counts, *, min_records: int, max_duplicates: int) -> None:
        """Hold the verifier's counts against what must always be so."""
        self.counts = counts
        self.check(counts.acknowledged >= min_records, f"{counts.acknowledged} records sent only")
        self.check(not counts.forgotten, f"the broker lost {counts.forgotten} acknowledged records")
        self.check(not counts.lost, f"{counts.lost} records lost, {counts.examples['lost']}")
        self.check(not counts.strangers, f"{counts.strangers} outputs that nobody asked for")
        self.check(
            not counts.inversions,
            f"{counts.inversions} inversions within a key, {counts.examples['inversions']}",
        )
        self.check(not counts.dead_letters, f"{counts.dead_letters} good records in dead letters")
        self.check(
            counts.duplicates <= max_duplicates,
            f"{counts.duplicates} duplicates, {max_duplicates} are explained",
        )

    @property
    def caught(self) -> bool:
        """Whether the verifier's counts, and not only a deadline, give the run away."""
        counts = self.counts
        return counts is not None and bool(counts.lost or counts.inversions)
