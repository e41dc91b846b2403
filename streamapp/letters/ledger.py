"""The ledger of a dead-letter topic: a compacted topic that says what was done with its letters."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from streamapp.letters.letter import Letter
from streamapp.record import TopicPartition

LEDGER_SUFFIX = ".ledger"
"""Follows the name of a dead-letter topic in the name of its ledger."""


class LetterState(StrEnum):
    """What was done with a letter."""

    OPEN = "open"  # nothing yet
    REPLAYED = "replayed"
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"  # sent back too often


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What was done with one letter.

    Attributes:
        state: what.
        at_ms: when, in milliseconds since the epoch.
        digest: tells the letter from what stood at its place in an earlier topic of that name.
        replay: id of the replay that did it; empty for what was discarded.
        why: why it was discarded or quarantined; for a replay, the topic that it was sent to.
        told: what the letter said: stage, fingerprint, and where its original was read.
    """

    state: LetterState
    at_ms: int
    digest: str
    replay: str = ""
    why: str = ""
    told: Mapping[str, str | int | None] | None = None

    def to_json(self) -> bytes:
        """The value of its record in the ledger."""
        return orjson.dumps(
            {
                "state": self.state.value,
                "at": self.at_ms,
                "letter": self.digest,
                "replay": self.replay,
                "why": self.why,
                "told": dict(self.told or {}),
            }
        )


NO_ENTRY = LedgerEntry(LetterState.OPEN, 0, "")


def ledger_topic_of(topic: str) -> str:
    """Name of the ledger of a dead-letter topic."""
    return f"{topic}{LEDGER_SUFFIX}"


def entry_for(
    letter: Letter, state: LetterState, at_ms: int, *, replay: str = "", why: str = ""
) -> LedgerEntry:
    """An entry that says what is done with a letter."""
    told = letter.told
    facts = {
        "pipeline": told.pipeline,
        "stage": told.stage,
        "fingerprint": told.fingerprint,
        "reason": told.reason,
        "error": told.error,
        "topic": told.topic,
        "partition": told.partition,
        "offset": told.offset,
    }
    return LedgerEntry(state, at_ms, letter.digest, replay, why, facts)


def key_of(place: TopicPartition, offset: int) -> bytes:
    """The key of the entry for the letter at this place."""
    return b"%d:%d" % (place.partition, offset)


class Ledger:
    """The entries of one ledger, as read so far."""

    def __init__(self) -> None:
        self._entries: dict[bytes, LedgerEntry] = {}

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take note of a record of the ledger; one that cannot be read was not written by us."""
        if key is None:
            return
        found = None if value is None else _entry_in(value)
        if found is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = found

    def put(self, letter: Letter, entry: LedgerEntry) -> None:
        """Take note of an entry that was written."""
        self._entries[key_of(letter.place, letter.offset)] = entry

    def entry_of(self, letter: Letter) -> LedgerEntry:
        """What was done with a letter; `NO_ENTRY` if nothing was."""
        entry = self._entries.get(key_of(letter.place, letter.offset))
        return NO_ENTRY if entry is None or entry.digest != letter.digest else entry


def _entry_in(value: bytes) -> LedgerEntry | None:
    try:
        found = orjson.loads(value)
        return LedgerEntry(
            LetterState(found["state"]),
            int(found["at"]),
            str(found["letter"]),
            str(found["replay"]),
            str(found["why"]),
            {str(name): told for name, told in found["told"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
