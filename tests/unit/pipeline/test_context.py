"""What an agent may ask of the record that it works on."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
    assert stamp.utcoffset() == timedelta(0)
