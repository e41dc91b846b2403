"""What becomes of each dead letter when some are sent back."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from streamapp.dead_letter_tools.sent_before import mark_of
from streamapp.dead_letter_tools.targets import Target, Targets
from streamapp.letters.ledger import LedgerEntry, LetterState
from streamapp.letters.letter import Letter
from streamapp.letters.selection import Selection
from streamapp.record import TopicPartition

MAX_REPLAYS = 3
"""Default for how often a record is sent back to the same stage."""


Place = tuple[TopicPartition, int]
"""Where a letter stands: its partition and offset."""


class Fate(StrEnum):
    """What becomes of a letter."""

    SEND = "send"
    NOT_MEANT = "not meant"
    STILL_FAILS = "not taken by the code"
    UNSENDABLE = "refused by its replay topic"
    REPLAYED = "replayed before"
    SENT_BEFORE = "in its replay topic, but not in the ledger"
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
        again: ids of replays: what they sent is sent once more, and nothing else.
        sent_before: marks of what stands in replay topics, with the replay that sent it.
        failing: places of letters that the code does not take, which stay.
        only: places of the letters of which some are sent; `None` for all.
    """

    selection: Selection
    targets: Targets
    max_replays: int = MAX_REPLAYS
    again: Collection[str] = ()
    sent_before: Mapping[bytes, str] = field(default_factory=dict)
    failing: Collection[Place] = ()
    only: Collection[Place] | None = None

    def fate_of(self, letter: Letter, entry: LedgerEntry) -> tuple[Fate, Target | None]:
        """What becomes of a letter, and where it goes.

        Args:
            letter: the letter.
            entry: what was done with it before.
        """
        if not self.selection.matches(letter):
            return Fate.NOT_MEANT, None
        target = self.targets.of(letter)
        is_too_often = letter.told.sent_back.times >= self.max_replays
        done = self._done(letter, entry, target, is_too_often=is_too_often)
        if done is not None:
            return done, None
        if target is None:
            is_read_otherwise = self.targets.is_read_otherwise(letter)
            return (Fate.READ_OTHERWISE if is_read_otherwise else Fate.NO_STAGE), None
        if is_too_often:
            return Fate.QUARANTINE, target
        return self._if_open(letter), target

    def _if_open(self, letter: Letter) -> Fate:
        """What becomes of a letter that may be sent."""
        place = (letter.place, letter.offset)
        if place in self.failing:
            return Fate.STILL_FAILS
        return Fate.SEND if self.only is None or place in self.only else Fate.NOT_MEANT

    def _done(
        self, letter: Letter, entry: LedgerEntry, target: Target | None, *, is_too_often: bool
    ) -> Fate | None:
        """What was done with a letter that keeps it from being sent; `None` if nothing was."""
        replay = self._sent_by(letter, entry, target)
        if self.again:
            return None if replay in self.again else Fate.NOT_MEANT
        if entry.state is LetterState.QUARANTINED and not is_too_often:
            return None
        if entry.state in _OF_STATES:
            return _OF_STATES[entry.state]
        return None if replay is None else Fate.SENT_BEFORE

    def _sent_by(self, letter: Letter, entry: LedgerEntry, target: Target | None) -> str | None:
        """Id of the replay that sent a letter last; `None` if none did."""
        if entry.state is LetterState.REPLAYED:
            return entry.replay
        if entry.state is LetterState.OPEN and target is not None and self.sent_before:
            return self.sent_before.get(mark_of(letter, target))
        return None
