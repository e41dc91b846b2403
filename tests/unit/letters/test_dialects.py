"""Dead letters of streamapp and of four others are read by their headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.letters.dialects import read_letter
from streamapp.letters.letter import Dialect, Letter
from streamapp.record import Headers, StoredRecord, TopicPartition

PLACE = TopicPartition("shop.check.dlq", 2)
TRACE = ("trace", b"\xff")

STREAMAPP: Headers = [
    ("streamapp.error.pipeline", b"shop"),
    ("streamapp.error.stage", b"check"),
    ("streamapp.error.topic", b"orders"),
    ("streamapp.error.partition", b"3"),
    ("streamapp.error.offset", b"41"),
    ("streamapp.error.timestamp", b"1700000000000"),
    ("streamapp.error.class", b"ValueError"),
    ("streamapp.error.message", b"no price"),
    ("streamapp.error.reason", b"failed"),
    ("streamapp.error.fingerprint", b"0123456789ab"),
    ("streamapp.error.attempts", b"4"),
    ("streamapp.error.first_failure", b"1700000001000"),
    ("streamapp.error.last_failure", b"1700000002000"),
    ("streamapp.error.replays", b"2"),
    ("streamapp.error.replay", b"r2"),
]
CONNECT: Headers = [
    ("__connect.errors.topic", b"orders"),
    ("__connect.errors.partition", b"3"),
    ("__connect.errors.offset", b"41"),
    ("__connect.errors.connector.name", b"sink"),
    ("__connect.errors.task.id", b"0"),
    ("__connect.errors.stage", b"VALUE_CONVERTER"),
    ("__connect.errors.class.name", b"org.apache.kafka.connect.json.JsonConverter"),
    ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
    ("__connect.errors.exception.message", b"no price"),
    ("__connect.errors.exception.stacktrace", b"at ..."),
]
SPRING: Headers = [
    ("kafka_dlt-original-topic", b"orders"),
    ("kafka_dlt-original-partition", (3).to_bytes(4, "big")),
    ("kafka_dlt-original-offset", (41).to_bytes(8, "big")),
    ("kafka_dlt-original-timestamp", (1_700_000_000_000).to_bytes(8, "big")),
    ("kafka_dlt-original-timestamp-type", b"CreateTime"),
    ("kafka_dlt-original-consumer-group", b"billing"),
    ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.ListenerExecutionFailedException"),
    ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
    ("kafka_dlt-exception-message", b"no price"),
    ("kafka_dlt-exception-stacktrace", b"at ..."),
]
STREAMS: Headers = [
    ("__streams.errors.exception", b"org.apache.kafka.common.errors.SerializationException: no"),
    ("__streams.errors.stacktrace", b"at ..."),
    ("__streams.errors.message", b"no price"),
    ("__streams.errors.topic", b"orders"),
    ("__streams.errors.partition", b"3"),
    ("__streams.errors.offset", b"41"),
]
SMALLRYE: Headers = [
    ("dead-letter-exception-class-name", b"java.lang.RuntimeException"),
    ("dead-letter-cause-class-name", b"java.lang.IllegalStateException"),
    ("dead-letter-reason", b"no price"),
    ("dead-letter-cause", b"no price"),
    ("dead-letter-topic", b"orders"),
    ("dead-letter-partition", b"3"),
    ("dead-letter-offset", b"41"),
]
ALL = {
    Dialect.STREAMAPP: STREAMAPP,
    Dialect.CONNECT: CONNECT,
    Dialect.SPRING: SPRING,
    Dialect.STREAMS: STREAMS,
    Dialect.SMALLRYE: SMALLRYE,
}
ERRORS = {
    Dialect.STREAMAPP: "ValueError",
    Dialect.CONNECT: "DataException",
    Dialect.SPRING: "IllegalStateException",
    Dialect.STREAMS: "SerializationException",
    Dialect.SMALLRYE: "IllegalStateException",
}


def letter(headers: Headers) -> Letter:
    return read_letter(PLACE, StoredRecord(7, 1_700_000_003_000, b"k", b"v", headers))


@pytest.mark.parametrize("dialect", ALL)
def test_a_letter_of_each_dialect_says_where_its_original_was_read_and_why_it_failed(
    dialect: Dialect,
) -> None:
    found = letter([TRACE, *ALL[dialect]])
    told = found.told
    assert told.dialect is dialect
    assert (told.topic, told.partition, told.offset) == ("orders", 3, 41)
    assert (told.error, told.message) == (ERRORS[dialect], "no price")
    assert len(told.fingerprint) == 12
    assert found.original_headers == [TRACE]
    assert found.address == "shop.check.dlq:2:7"


def test_a_letter_of_ours_says_all_that_ours_do() -> None:
    told = letter(STREAMAPP).told
    assert (told.pipeline, told.stage, told.reason) == ("shop", "check", "failed")
    assert (told.attempts, told.timestamp_ms) == (4, 1_700_000_000_000)
    assert (told.first_failure_ms, told.last_failure_ms) == (1_700_000_001_000, 1_700_000_002_000)
    assert (told.sent_back.times, told.sent_back.replay) == (2, "r2")
    assert letter(STREAMAPP).failed_ms == 1_700_000_002_000


def test_of_others_the_connector_or_the_group_stands_for_the_pipeline() -> None:
    assert (letter(CONNECT).told.pipeline, letter(CONNECT).told.stage) == (
        "sink",
        "VALUE_CONVERTER",
    )
    spring = letter(SPRING).told
    assert (spring.pipeline, spring.timestamp_ms) == ("billing", 1_700_000_000_000)
    assert letter(SPRING).failed_ms == 1_700_000_003_000


def test_equal_failures_of_others_have_equal_fingerprints_and_others_have_not() -> None:
    for dialect in (Dialect.CONNECT, Dialect.SPRING, Dialect.STREAMS, Dialect.SMALLRYE):
        headers = ALL[dialect]
        elsewhere = [(n, b"99" if n.endswith("offset") else c) for n, c in headers]
        assert letter(headers).told.fingerprint == letter(elsewhere).told.fingerprint
        other = [(n, c.replace(b"State", b"Other").replace(b"ation", b"O")) for n, c in headers]
        other = [(n, c.replace(b"Data", b"Other")) for n, c in other]
        assert letter(headers).told.fingerprint != letter(other).told.fingerprint


def test_a_letter_of_ours_whose_original_was_one_of_others_keeps_the_headers_of_those() -> None:
    found = letter([TRACE, *CONNECT, *STREAMAPP])
    assert found.told.dialect is Dialect.STREAMAPP
    assert found.original_headers == [TRACE, *CONNECT]


def test_a_record_that_says_nothing_is_a_letter_too() -> None:
    found = letter([TRACE])
    assert (found.told.dialect, found.told.topic, found.told.offset) == (Dialect.UNKNOWN, "", None)
    assert found.original_headers == [TRACE]
    assert found.failed_ms == 1_700_000_003_000


@given(
    st.sampled_from(list(ALL)),
    st.data(),
)
def test_headers_that_cannot_be_read_say_nothing(dialect: Dialect, data: st.DataObject) -> None:
    numbers = st.integers(-(10**19), 10**20).map(lambda number: b"%d" % number)
    contents = st.one_of(st.binary(max_size=30), st.none(), numbers)
    headers = [(name, data.draw(contents)) for name, _ in ALL[dialect]]
    found = letter(headers)  # type: ignore[arg-type]  # Kafka has headers without a value
    assert found.told.dialect is dialect
    assert found.told.offset is None or -(2**63) <= found.told.offset < 2**63
    assert len(found.digest) == 16


def test_a_digest_tells_letters_apart_that_differ_in_anything() -> None:
    record = StoredRecord(7, 1, b"k", b"v", [TRACE])
    others = [
        StoredRecord(7, 2, b"k", b"v", [TRACE]),
        StoredRecord(7, 1, None, b"v", [TRACE]),
        StoredRecord(7, 1, b"kv", b"", [TRACE]),
        StoredRecord(7, 1, b"k", b"v", [("trace", b"")]),
        StoredRecord(7, 1, b"k", b"v", []),
    ]
    digests = {read_letter(PLACE, one).digest for one in (record, *others)}
    assert len(digests) == 6
    assert read_letter(PLACE, record).digest == read_letter(PLACE, record).digest
