"""Dead letters are selected by what they say, and grouped by fingerprint."""

from dataclasses import replace
from typing import Any

import pytest

from streamapp.letters.dialects import read_letter
from streamapp.letters.groups import grouped
from streamapp.letters.letter import Letter, Told
from streamapp.letters.selection import Selection
from streamapp.record import Headers, StoredRecord, TopicPartition

TOLD = Told(
    pipeline="shop", stage="check", reason="failed", fingerprint="abc123", last_failure_ms=5000
)


def letter(
    told: Told = TOLD,
    *,
    offset: int = 0,
    key: bytes | None = b"k",
    headers: Headers = (),
    timestamp: int = 1000,
    topic: str = "shop.check.dlq",
) -> Letter:
    record = StoredRecord(offset, timestamp, key, b"v", headers)
    return replace(read_letter(TopicPartition(topic, 0), record), told=told)


@pytest.mark.parametrize(
    ("selection", "is_meant"),
    [
        ({}, True),
        ({"pipelines": ["shop", "other"]}, True),
        ({"pipelines": ["other"]}, False),
        ({"stages": ["check"]}, True),
        ({"stages": ["chec"]}, False),
        ({"reasons": ["failed"]}, True),
        ({"reasons": ["decode"]}, False),
        ({"fingerprints": ["abc"]}, True),
        ({"fingerprints": ["bc1"]}, False),
        ({"since_ms": 5000}, True),
        ({"since_ms": 5001}, False),
        ({"until_ms": 5001}, True),
        ({"until_ms": 5000}, False),
        ({"keys": [b"k"]}, True),
        ({"keys": [b"x"]}, False),
        ({"headers": [("trace", None)]}, True),
        ({"headers": [("trace", b"1")]}, True),
        ({"headers": [("trace", b"2")]}, False),
        ({"headers": [("other", None)]}, False),
        ({"headers": [("trace", b"1"), ("other", None)]}, False),
        ({"address": "shop.check.dlq:0:0"}, True),
        ({"address": "shop.check.dlq:0:1"}, False),
        ({"stages": ["check"], "reasons": ["decode"]}, False),
    ],
)
def test_a_letter_is_meant_if_it_fits_all_that_is_given(
    selection: dict[str, Any], *, is_meant: bool
) -> None:
    assert Selection(**selection).matches(letter(headers=[("trace", b"1")])) is is_meant


def test_letters_of_a_kind_are_one_group_with_its_first_and_last() -> None:
    times = [7000, 3000, 9000]
    letters = [
        letter(replace(TOLD, last_failure_ms=at), offset=i, timestamp=at - 1000)
        for i, at in enumerate(times)
    ]
    [group] = grouped(letters)
    assert (group.count, group.first_ms, group.last_ms) == (3, 3000, 9000)
    assert group.sample is letters[2]
    assert group.oldest_ms == 2000
    assert group.seconds_left(10_000, now_ms=4000) == 8
    assert group.seconds_left(10_000, now_ms=40_000) == 0
    assert group.seconds_left(None, now_ms=4000) is None


def test_groups_differ_by_topic_stage_fingerprint_and_reason_and_the_largest_comes_first() -> None:
    letters = [
        letter(),
        letter(replace(TOLD, fingerprint="def")),
        letter(replace(TOLD, fingerprint="def"), offset=1),
        letter(replace(TOLD, reason="decode")),
        letter(replace(TOLD, stage="other")),
        letter(topic="elsewhere"),
    ]
    groups = grouped(letters)
    assert [group.count for group in groups] == [2, 1, 1, 1, 1]
    assert groups[0].sample.told.fingerprint == "def"
