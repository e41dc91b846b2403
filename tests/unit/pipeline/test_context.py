"""What an agent may ask of the record that it works on."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from streamapp.pipeline.context import Context
from streamapp.record import Headers


@dataclass(frozen=True)
class Given:
    """A record as a broker gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def context(timestamp: int = 0, headers: Headers = ()) -> Context:
    record = Given(7, timestamp, b"k", b"v", headers)
    return Context("p", "s", "t", 0, record, 1)


def test_the_key_is_that_of_the_record() -> None:
    assert context().key == b"k"


def test_of_headers_with_one_name_the_last_counts() -> None:
    given = context(headers=[("a", b"1"), ("b", b"2"), ("a", b"3")])
    assert given.headers == {"a": b"3", "b": b"2"}


def test_the_timestamp_is_in_utc_to_the_millisecond() -> None:
    stamp = context(timestamp=1_700_000_000_123).timestamp
    assert stamp == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    assert stamp is not None
    assert stamp.utcoffset() == timedelta(0)


def test_the_first_and_the_last_timestamps_of_a_calendar_are_told() -> None:
    assert context(timestamp=0).timestamp == datetime(1970, 1, 1, tzinfo=UTC)
    assert context(timestamp=253_402_300_799_999).timestamp == datetime(
        9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC
    )


@pytest.mark.parametrize("timestamp", [-1, 253_402_300_800_000, 1_700_000_000_000_000, 2**63 - 1])
def test_a_record_without_a_timestamp_of_a_calendar_has_none(timestamp: int) -> None:
    assert context(timestamp=timestamp).timestamp is None
