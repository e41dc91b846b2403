"""The options of `streamapp dlq` are read as they are meant, or refused in one sentence."""

import pytest

from streamapp.cli.asked_letters import Asked, milliseconds
from streamapp.cli.letter_options import LetterOptions
from streamapp.errors import ConfigurationError
from streamapp.letters.ledger import LetterState

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("90s", NOW_MS - 90_000),
        ("30m", NOW_MS - 1_800_000),
        ("2h", NOW_MS - 7_200_000),
        ("7d", NOW_MS - 604_800_000),
        ("2026-11-28T10:00Z", 1_795_860_000_000),
        ("2026-11-28T10:00", 1_795_860_000_000),
        ("2026-11-28T12:00+02:00", 1_795_860_000_000),
        ("2026-11-28", 1_795_824_000_000),
    ],
)
def test_a_time_is_a_moment_or_how_long_ago(given: str | None, expected: int | None) -> None:
    assert milliseconds("--since", given, NOW_MS) == expected


@pytest.mark.parametrize("given", ["", "2", "h", "-2h", "2w", "yesterday", "9999999h", "25:00"])
def test_what_is_no_time_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--until is .*: give a time such as"):
        milliseconds("--until", given, NOW_MS)


def test_keys_and_headers_are_text_or_bytes() -> None:
    options = LetterOptions(
        key=["caf\N{LATIN SMALL LETTER E WITH ACUTE}", "base64:/w=="],
        header=["trace", "trace=", "trace=a=b"],
    )
    selection = Asked(options=options).selection()
    assert selection.keys == ("caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), b"\xff")
    assert selection.headers == (("trace", None), ("trace", b""), ("trace", b"a=b"))


def test_letters_with_which_nothing_was_done_are_meant_unless_others_are_asked_for() -> None:
    assert Asked().is_asked_for(LetterState.OPEN)
    assert not Asked().is_asked_for(LetterState.REPLAYED)
    assert Asked(states=[LetterState.REPLAYED]).is_asked_for(LetterState.REPLAYED)
    assert not Asked(states=[LetterState.REPLAYED]).is_asked_for(LetterState.OPEN)
