"""The outcome of a scenario."""

from collections import Counter
from dataclasses import dataclass, field

from tests.torture.verdict import Counts


@dataclass(slots=True)
class Outcome:
    """The outcome of one run of a scenario.

    Attributes:
        scenario: its name.
        asked: the sizes with which it was run, as text, by their names.
        faults: faults that happened, by kind.
        figures: what was measured, as text, by its name.
        recovery_seconds: longest time from the end of a fault to an output in every partition.
        counts: what the verifier counted.
        violations: failed checks; a run without any has passed.
        mutant: the planted bug, if any.
        early: attempts that began before their record was due.
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
    early: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no check has failed."""
        return not self.violations

    def check(self, holds: bool, sentence: str) -> None:
        """Note a violation if the condition does not hold."""
        if not holds:
            self.violations.append(sentence)

    def recovered(self, seconds: float | None, *, within: float, after: str) -> None:
        """Note how long a recovery took, and a violation if that was too long."""
        if seconds is None:
            self.violations.append(f"a partition had no output after {after}")
            return
        self.recovery_seconds = max(self.recovery_seconds or 0.0, seconds)
        self.check(seconds <= within, f"{seconds:.1f} s to recover after {after}, not {within:g}")

    def counted(self, counts: Counts, *, min_records: int, max_duplicates: int) -> None:
        """Note the verifier's counts, and a violation for each that may not be."""
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
        """Whether the verifier's counts, and not only a deadline, show that a bug was planted."""
        counts = self.counts
        return counts is not None and bool(counts.lost or counts.inversions or self.early)
