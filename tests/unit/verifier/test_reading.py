"""The verifier reads ledgers and records by itself."""

import json
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from tests.verifier.ledger import LedgerError, Sent, read_ledger
from tests.verifier.seen import dead_letter_of, output_of

GOOD = {
    "event_id": "s1-0-7",
    "key": "s1-0",
    "kind": "good",
    "sequence": 7,
    "partition": 3,
    "offset": 12,
    "status": "acknowledged",
    "expected": "scored",
}


def written(folder: Path, *lines: object) -> Path:
    path = folder / "ledger.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def record(value: bytes, headers: list[tuple[str, bytes]]) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("dlq", 1, 5, 0, 0, b"k", value, None, 1, len(value), headers)


def test_a_ledger_tells_what_was_sent(tmp_path: Path) -> None:
    faulty = {
        **GOOD,
        "offset": None,
        "status": "unknown",
        "expected": "dead_letter",
        "stage": "enrich",
        "reason": "permanent",
    }

    assert read_ledger(written(tmp_path, GOOD, faulty)) == [
        Sent("s1-0-7", "s1-0"),
        Sent("s1-0-7", "s1-0", acknowledged=False, dead_letter=("enrich", "permanent")),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ({**GOOD, "status": "unknown"},),
        ({**GOOD, "status": "sent"},),
        ({**GOOD, "expected": "lost"},),
        ({"event_id": "s1-0-7"},),
    ],
    ids=["empty", "nothing acknowledged", "status", "expected", "fields"],
)
def test_a_ledger_that_proves_nothing_is_refused(tmp_path: Path, lines: tuple[object, ...]) -> None:
    with pytest.raises(LedgerError):
        read_ledger(written(tmp_path, *lines))


def test_a_dead_letter_is_split_into_the_original_and_what_happened() -> None:
    told = {"stage": "s", "reason": "r", "topic": "t", "partition": "2", "offset": "9"}
    headers = [("event-id", b"e")] + [
        (f"streamapp.error.{name}", text.encode()) for name, text in told.items()
    ]

    letter = dead_letter_of(record(b"v", headers))

    assert (letter.event_id, letter.stage, letter.reason) == ("e", "s", "r")
    assert letter.source == ("t", 2, 9)
    assert (letter.raw.key, letter.raw.value) == (b"k", b"v")
    assert letter.raw.headers == (("event-id", b"e"),)


def test_a_record_without_its_event_id_cannot_be_read() -> None:
    value = {"event_id": "e", "session_id": "k", "sequence": 1, "quality": 9}

    with pytest.raises(ValueError, match="event-id"):
        output_of(record(json.dumps(value).encode(), []))
