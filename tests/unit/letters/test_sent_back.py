"""How often a record was sent back stands in two headers, and others are not believed."""

import pytest

from streamapp.letters.dialects import read_letter
from streamapp.letters.send_back import headers_sent_back
from streamapp.letters.sent_back import NEVER_SENT_BACK, SentBack, sent_back_in
from streamapp.record import StoredRecord, TopicPartition
from tests.unit.letters.test_dialects import SMALLRYE, STREAMAPP, TRACE


@pytest.mark.parametrize("times", [1, 2, 1_000_000])
def test_what_the_headers_say_is_read_again(times: int) -> None:
    said = SentBack(times, "r" * 64)
    assert sent_back_in(dict(said.headers())) == said


def test_what_was_never_sent_back_has_no_such_headers() -> None:
    assert list(NEVER_SENT_BACK.headers()) == []
    assert SentBack(0, "") == NEVER_SENT_BACK


@pytest.mark.parametrize(
    ("times", "replay"),
    [(b"0", b"r"), (b"-1", b"r"), (b"1000001", b"r"), (b"x", b"r"), (b"1", b"r" * 65)],
)
def test_headers_that_we_did_not_write_say_that_it_was_never_sent_back(
    times: bytes, replay: bytes
) -> None:
    found = sent_back_in({"streamapp.error.replays": times, "streamapp.error.replay": replay})
    assert found is NEVER_SENT_BACK
    assert sent_back_in({"streamapp.error.replays": b"1"}) is NEVER_SENT_BACK


def sent(headers: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    record = StoredRecord(7, 1_700_000_003_000, b"k", b"v", headers)
    letter = read_letter(TopicPartition("t", 0), record)
    return list(headers_sent_back(letter, "shop", "check", "r9"))


def test_our_facts_are_sent_back_as_they_were_and_begin_with_the_pipeline() -> None:
    context = ("streamapp.context", b"{}")
    shuffled = [TRACE, *reversed(STREAMAPP), context]
    found = sent(shuffled)
    kept = [one for one in reversed(STREAMAPP) if not one[0].startswith("streamapp.error.replay")]
    first = ("streamapp.error.pipeline", b"shop")
    kept.remove(first)
    last = [("streamapp.error.replays", b"3"), ("streamapp.error.replay", b"r9")]
    assert found == [TRACE, context, first, *kept, *last]


def test_what_another_system_tells_is_said_in_our_words() -> None:
    found = sent([TRACE, *SMALLRYE])
    assert found[0] == TRACE
    facts = {name.removeprefix("streamapp.error."): value for name, value in found[1:]}
    assert facts.pop("fingerprint")
    assert facts == {
        "pipeline": b"shop",
        "stage": b"check",
        "topic": b"orders",
        "partition": b"3",
        "offset": b"41",
        "timestamp": b"1700000003000",
        "class": b"IllegalStateException",
        "reason": b"smallrye",
        "attempts": b"0",
        "first_failure": b"1700000003000",
        "last_failure": b"1700000003000",
        "replays": b"1",
        "replay": b"r9",
    }


def test_a_place_that_is_known_in_part_is_that_of_the_letter() -> None:
    partly = [one for one in SMALLRYE if one[0] != "dead-letter-offset"]
    facts = dict(sent(partly))
    assert (facts["streamapp.error.topic"], facts["streamapp.error.offset"]) == (b"t", b"7")
