"""What Kafka would refuse is refused before Faust sends it."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from streamapp.brokers.compression import BATCH_HEADER_BYTES, Compression, encoded_records
from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import BrokerError, EncodeError, RecordTooLargeError
from streamapp.faust_adapter.send_limits import SendLimits

TOTALS = "shop-totals-changelog"
KEY, VALUE, HEADERS = b"ann", b"x" * 500, [("a", b"b")]


async def limits(
    max_bytes: int, *, codec: Compression | None = None, policy: str = "delete"
) -> SendLimits:
    """Those of a client that sends anything, to a topic that takes so much."""
    made = SendLimits(1_000_000, codec)
    config = {"max.message.bytes": str(max_bytes), "cleanup.policy": policy}

    async def look_up(names: Collection[str]) -> Mapping[str, TopicDescription]:
        return {name: TopicDescription(name, 1, 1, config) for name in names if name == TOTALS}

    made.look_up = look_up
    await made.learn([TOTALS, "gone"])
    return made


async def test_a_record_is_refused_by_the_byte() -> None:
    exact = len(encoded_records([(0, KEY, VALUE, HEADERS)])) + BATCH_HEADER_BYTES
    (await limits(exact)).require(TOTALS, KEY, VALUE, HEADERS)
    with pytest.raises(RecordTooLargeError, match=f"'{TOTALS}': its max.message.bytes is "):
        (await limits(exact - 1)).require(TOTALS, KEY, VALUE, HEADERS)


async def test_what_fits_compressed_is_not_refused_when_the_client_compresses() -> None:
    with pytest.raises(RecordTooLargeError):
        (await limits(200)).require(TOTALS, KEY, VALUE)
    (await limits(200, codec=Compression.GZIP)).require(TOTALS, KEY, VALUE)


async def test_a_change_without_a_key_is_refused_where_the_topic_needs_one() -> None:
    (await limits(1000)).require(TOTALS, None, VALUE)
    with pytest.raises(EncodeError, match=f"'{TOTALS}' has no key"):
        (await limits(1000, policy="compact")).require(TOTALS, None, VALUE)


async def test_of_a_topic_that_is_not_known_only_the_limit_of_the_client_counts() -> None:
    known = await limits(100)
    known.require("gone", KEY, VALUE)
    known.require("never asked for", KEY, VALUE)
    with pytest.raises(RecordTooLargeError, match="producer_max_request_size of Faust is 1000000"):
        known.require("gone", KEY, b"x" * 1_000_000)
    assert known.knows("gone")
    assert not known.knows("never asked for")


async def test_without_an_answer_what_is_known_stays(caplog: pytest.LogCaptureFixture) -> None:
    known = await limits(100)

    async def look_up(_names: Collection[str]) -> Any:
        raise BrokerError("not now")

    known.look_up = look_up
    await known.learn([TOTALS])
    assert "not now" in caplog.text
    assert known.smallest_bytes == 100
    with pytest.raises(RecordTooLargeError):
        known.require(TOTALS, KEY, VALUE)
