"""What the commands on dead letters say of one, and where they find none."""

from dataclasses import replace

import pytest

from streamapp.cli.found_letters import Found
from streamapp.cli.letter_json import as_json, content_text, iso_time
from streamapp.cli.letter_text import letter_lines
from streamapp.cli.no_letters import nothing_found
from streamapp.letters.dialects import read_letter
from streamapp.letters.ledger import Ledger, LedgerEntry, LetterState
from streamapp.letters.letter import Letter, Told
from streamapp.letters.seen import Seen
from streamapp.letters.selection import Selection
from streamapp.record import StoredRecord, TopicPartition

CANARY = "4711-canary"
TOLD = Told(
    pipeline="shop",
    stage="check",
    reason="failed",
    error="KeyError",
    message=CANARY,
    place="shop.py:check",
    fingerprint="0a1b2c",
    last_failure_ms=1_700_000_000_250,
)


def letter(told: Told = TOLD, value: bytes | None = CANARY.encode()) -> Letter:
    record = StoredRecord(7, 1000, CANARY.encode(), value, (("trace", CANARY.encode()),))
    return replace(read_letter(TopicPartition("shop.check.dlq", 2), record), told=told)


def found(one: Letter) -> Found:
    return Found(one, Ledger().entry_of(one))


def test_what_may_quote_the_record_is_shown_only_if_it_is_asked_for() -> None:
    for show_payload in (False, True):
        text = "\n".join(letter_lines(found(letter()), show_payload=show_payload))
        data = as_json(found(letter()), show_payload=show_payload)
        assert text.count(CANARY) == (4 if show_payload else 0)
        assert str(data).count(CANARY) == (4 if show_payload else 0)
        assert "shop.py:check" in text
        assert data["place"] == "shop.py:check"
        assert data["last_failure"] == "2023-11-14T22:13:20.250Z"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, None),
        (b"", ""),
        ("ü".encode(), "ü"),
        (b"\xff", "base64:/w=="),
        (b"base64:", "base64:YmFzZTY0Og=="),
    ],
)
def test_bytes_are_text_that_says_all_of_them(content: bytes | None, text: str | None) -> None:
    assert content_text(content) == text


@pytest.mark.parametrize("milliseconds", [None, 10**18, -(10**18)])
def test_a_time_that_is_none_is_left_open(milliseconds: int | None) -> None:
    assert iso_time(milliseconds) is None


def test_a_value_cannot_take_over_the_terminal_or_add_a_line() -> None:
    lines = list(letter_lines(found(letter(value=b"a\x1b[2J\nstage  other")), show_payload=True))
    assert "\x1b" not in "".join(lines)
    assert lines[-2:] == ["  a\\x1b[2J", "  stage  other"]


def test_json_is_indented() -> None:
    lines = list(letter_lines(found(letter(value=b'{"n":1}')), show_payload=True))
    assert lines[-3:] == ["  {", '    "n": 1', "  }"]


def seen(*states: LetterState) -> Seen:
    made = Seen()
    for state in states:
        made.take(letter(), LedgerEntry(state, 1, ""), is_meant=True)
    return made


def test_where_nothing_is_found_it_is_said_what_there_is() -> None:
    assert nothing_found(Seen(), Selection()) == "There are no dead letters."
    done = seen(LetterState.REPLAYED, LetterState.REPLAYED, LetterState.DISCARDED)
    assert nothing_found(done, Selection()) == (
        "None is in a state that was asked for: of 3, 0 are open, 2 were replayed, 1 discarded;"
        " 0 are of records that failed again. `--state` shows those of another state."
    )


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        (Selection(stages=("chek",)), "No dead letter has the stage 'chek'; did you mean 'check'?"),
        (Selection(pipelines=("shup",)), "the pipeline 'shup'; did you mean 'shop'?"),
        (Selection(fingerprints=("ff",)), "that begins with 'ff'; there are 0a1b2c."),
    ],
)
def test_a_mistyped_name_is_told_with_the_nearest(selection: Selection, told: str) -> None:
    assert told in nothing_found(seen(LetterState.OPEN), selection)
