"""The ledger remembers what was done with each letter."""

import pytest

from streamapp.letters.dialects import read_letter
from streamapp.letters.ledger import (
    Ledger,
    LetterState,
    entry_for,
    key_of,
    ledger_topic_of,
)
from streamapp.letters.letter import Letter
from streamapp.letters.send_back import headers_sent_back
from streamapp.record import Headers, StoredRecord, TopicPartition
from streamapp.runtime.retry_records import restored
from streamapp.topics.topic_pattern import TopicPattern
from tests.unit.letters.test_dialects import ALL, SPRING, STREAMAPP, TRACE

PLACE = TopicPartition("shop.check.dlq", 1)


def letter(value: bytes = b"v", headers: Headers = STREAMAPP) -> Letter:
    return read_letter(PLACE, StoredRecord(7, 1, b"k", value, headers))


def test_an_entry_is_read_as_it_was_written() -> None:
    ledger = Ledger()
    entry = entry_for(letter(), LetterState.DISCARDED, 5, why="a \N{SNOWMAN}")
    ledger.take(key_of(PLACE, 7), entry.to_json())
    assert ledger.entry_of(letter()) == entry
    assert entry.told == {
        "pipeline": "shop",
        "stage": "check",
        "fingerprint": "0123456789ab",
        "reason": "failed",
        "error": "ValueError",
        "topic": "orders",
        "partition": 3,
        "offset": 41,
    }


def test_the_last_entry_of_a_letter_counts() -> None:
    ledger = Ledger()
    for state in (LetterState.QUARANTINED, LetterState.REPLAYED):
        ledger.take(key_of(PLACE, 7), entry_for(letter(), state, 5).to_json())
    assert ledger.entry_of(letter()).state is LetterState.REPLAYED
    ledger.take(key_of(PLACE, 7), None)
    assert ledger.entry_of(letter()).state is LetterState.OPEN


def test_an_entry_is_not_that_of_another_letter_at_the_same_place() -> None:
    ledger = Ledger()
    ledger.put(letter(), entry_for(letter(), LetterState.REPLAYED, 5))
    assert ledger.entry_of(letter()).state is LetterState.REPLAYED
    assert ledger.entry_of(letter(b"other")).state is LetterState.OPEN


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"{}", b'{"state":"lost","at":1}', b"\xff", b"null", b"7"]
)
def test_an_entry_that_somebody_else_wrote_says_nothing(value: bytes) -> None:
    ledger = Ledger()
    ledger.take(key_of(PLACE, 7), value)
    ledger.take(None, value)
    assert ledger.entry_of(letter()).state is LetterState.OPEN


@pytest.mark.parametrize("dialect", ALL)
def test_what_is_sent_back_is_restored_as_the_original(dialect: str) -> None:
    found = letter(headers=[TRACE, *dict(ALL.items())[dialect]])  # type: ignore[index]  # a member
    headers = headers_sent_back(found, "shop", "check", "r9")
    record = StoredRecord(0, 99, found.key, found.value, headers)
    original, earlier = restored(record, TopicPartition("shop.check.replay", 0), 0)
    assert (original.key, original.value, list(original.headers)) == (b"k", b"v", [TRACE])
    assert (earlier.source, earlier.offset) == (TopicPartition("orders", 3), 41)
    assert earlier.sent_back.replay == "r9"
    assert earlier.sent_back.times == found.told.sent_back.times + 1


def test_the_event_time_of_the_original_is_sent_back() -> None:
    for headers in (STREAMAPP, SPRING):
        sent = headers_sent_back(letter(headers=headers), "shop", "check", "r9")
        original, _ = restored(StoredRecord(0, 99, None, b"v", sent), PLACE, 0)
        assert original.timestamp == 1_700_000_000_000


def test_a_letter_that_says_nothing_is_sent_back_as_from_its_own_place() -> None:
    sent = headers_sent_back(letter(headers=[TRACE]), "shop", "check", "r9")
    original, earlier = restored(StoredRecord(0, 99, None, b"v", sent), TopicPartition("x", 0), 0)
    assert (earlier.source, earlier.offset, original.timestamp) == (PLACE, 7, 1)
    assert list(original.headers) == [TRACE]


def test_no_pattern_of_topics_takes_a_ledger_for_a_source() -> None:
    assert not TopicPattern(r"shop\..*").matches(ledger_topic_of("shop.check.dlq"))
