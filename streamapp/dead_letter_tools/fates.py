"""What becomes of each dead letter when some are sent back."""

from dataclasses import dataclass
from enum import StrEnum

from streamapp.dead_letter_tools.targets import Target, Targets
from streamapp.letters.ledger import LedgerEntry, LetterState
from streamapp.letters.letter import Letter
from streamapp.letters.selection import Selection

MAX_REPLAYS = 3
"""Default for how often a record is sent back to the same stage."""


class Fate(StrEnum):
    """What becomes of a letter."""

    SEND = "send"
    NOT_MEANT = "not meant"
    REPLAYED = "replayed before"
    DISCARDED = "discarded before"
    QUARANTINE = "to be quarantined"
    QUARANTINED = "quarantined before"
    NO_STAGE = "of no stage"
    READ_OTHERWISE = "of a stage that reads no replay topic"


_OF_STATES = {
    LetterState.REPLAYED: Fate.REPLAYED,
    LetterState.DISCARDED: Fate.DISCARDED,
    LetterState.QUARANTINED: Fate.QUARANTINED,
}


@dataclass(frozen=True, slots=True)
class Sorting:
    """Says what becomes of letters.

    Attributes:
        selection: which are meant.
        targets: where they go.
        max_replays: one that was sent back so often is quarantined.
    """

    selection: Selection
    targets: Targets
    max_replays: int = MAX_REPLAYS

    def fate_of(self, letter: Letter, entry: LedgerEntry) -> tuple[Fate, Target | None]:
        """What becomes of a letter, and where it goes.

        Args:
            letter: the letter.
            entry: what was done with it before.
        """
        if not self.selection.matches(letter):
            return Fate.NOT_MEANT, None
        is_too_often = letter.told.sent_back.times >= self.max_replays
        if entry.state in _OF_STATES and (
            entry.state is not LetterState.QUARANTINED or is_too_often
        ):
            return _OF_STATES[entry.state], None
        target = self.targets.of(letter)
        if target is None:
            is_read_otherwise = self.targets.is_read_otherwise(letter)
            return (Fate.READ_OTHERWISE if is_read_otherwise else Fate.NO_STAGE), None
        return (Fate.QUARANTINE if is_too_often else Fate.SEND), target
