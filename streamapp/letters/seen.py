"""What stood in the dead-letter topics that were read, whether it was asked for or not."""

from collections import Counter
from dataclasses import dataclass, field

from streamapp.errors import UnreadableRecordError
from streamapp.letters.ledger import LedgerEntry, LetterState
from streamapp.letters.letter import Letter


@dataclass(slots=True)
class Seen:
    """Counts letters that were read, so that who finds none can be told what there is.

    Attributes:
        count: how many letters were read.
        pipelines, stages, reasons, fingerprints: what they say, and how many say so.
        states: what was done with those that were meant, whatever state was asked for.
        failed_again: how many of those that were meant are of records sent back before.
        unreadable: why records could not be read.
    """

    count: int = 0
    pipelines: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    fingerprints: Counter[str] = field(default_factory=Counter)
    states: Counter[LetterState] = field(default_factory=Counter)
    failed_again: int = 0
    unreadable: list[UnreadableRecordError] = field(default_factory=list)

    def take(self, letter: Letter, entry: LedgerEntry, *, is_meant: bool) -> None:
        """Count a letter.

        Args:
            letter: the letter.
            entry: what was done with it.
            is_meant: whether the options choose it, but for its state.
        """
        told = letter.told
        self.count += 1
        for names, name in (
            (self.pipelines, told.pipeline),
            (self.stages, told.stage),
            (self.reasons, told.reason),
            (self.fingerprints, told.fingerprint),
        ):
            if name:
                names[name] += 1
        if is_meant:
            self.states[entry.state] += 1
            self.failed_again += bool(told.sent_back.times)
