"""Reads the headers of dead letters: our own, and those of four others.

- Kafka Connect: KIP-298, `errors.deadletterqueue.context.headers.enable`.
- Spring for Apache Kafka: `DeadLetterPublishingRecoverer`; numbers are big-endian bytes.
- Kafka Streams: KIP-1034.
- SmallRye Reactive Messaging: failure strategy `dead-letter-queue`.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256

from streamapp.letters.letter import Dialect, Letter, Told, letter_of
from streamapp.letters.sent_back import sent_back_in
from streamapp.record import ERROR_HEADERS, FIRST_ERROR_HEADER, Record, TopicPartition

CONNECT_HEADERS = "__connect.errors."
SPRING_HEADERS = "kafka_dlt-"
STREAMS_HEADERS = "__streams.errors."
SMALLRYE_HEADERS = frozenset(
    f"dead-letter-{name}"
    for name in (
        "exception-class-name",
        "cause-class-name",
        "reason",
        "cause",
        "topic",
        "partition",
        "offset",
    )
)
_LENGTHS_OF_NUMBERS = (4, 8)
_MOST_DIGITS = 20


def read_letter(place: TopicPartition, record: Record) -> Letter:
    """Read a record of a dead-letter topic, whoever wrote it."""
    headers = dict(record.headers)  # of several with one name, the last was added last
    for is_own, marker, read in _DIALECTS:
        if marker in headers:
            return letter_of(place, record, read(_Facts(headers)), is_own)
    return letter_of(place, record, Told(), _is_none)


class _Facts:
    """Headers by name, read as text or as numbers; what cannot be read says nothing."""

    def __init__(self, headers: Mapping[str, bytes]) -> None:
        self.headers = headers

    def text(self, *names: str) -> str:
        """The first of these headers that is not empty."""
        for name in names:
            if found := self.headers.get(name):
                return found.decode(errors="replace")
        return ""

    def number(self, name: str) -> int | None:
        """A number, written as text."""
        found = self.headers.get(name) or b""
        try:
            value = int(found[: _MOST_DIGITS + 1])
        except ValueError:
            return None
        # Offsets, times and counts have 64 bits in Kafka; more would not fit into JSON either.
        return value if -(2**63) <= value < 2**63 else None

    def big_endian(self, name: str) -> int | None:
        """A number as Java writes an `int` or a `long`; or as text, as others write it."""
        found = self.headers.get(name) or b""
        if found.isdigit() or len(found) not in _LENGTHS_OF_NUMBERS:
            return self.number(name)
        return int.from_bytes(found, "big", signed=True)


def _streamapp(facts: _Facts) -> Told:
    def text(name: str) -> str:
        return facts.text(ERROR_HEADERS + name)

    def number(name: str) -> int | None:
        return facts.number(ERROR_HEADERS + name)

    return Told(
        Dialect.STREAMAPP,
        pipeline=text("pipeline"),
        stage=text("stage"),
        topic=text("topic"),
        partition=number("partition"),
        offset=number("offset"),
        timestamp_ms=number("timestamp"),
        error=text("class"),
        message=text("message"),
        place=text("place"),
        reason=text("reason"),
        fingerprint=text("fingerprint"),
        attempts=number("attempts"),
        first_failure_ms=number("first_failure"),
        last_failure_ms=number("last_failure"),
        sent_back=sent_back_in(facts.headers),
    )


def _connect(facts: _Facts) -> Told:
    def text(name: str) -> str:
        return facts.text(CONNECT_HEADERS + name)

    error = text("exception.class.name")
    return Told(
        Dialect.CONNECT,
        pipeline=text("connector.name"),
        stage=text("stage"),
        topic=text("topic"),
        partition=facts.number(f"{CONNECT_HEADERS}partition"),
        offset=facts.number(f"{CONNECT_HEADERS}offset"),
        error=_short(error),
        message=text("exception.message"),
        fingerprint=_fingerprint("connect", text("connector.name"), text("stage"), error),
    )


def _spring(facts: _Facts) -> Told:
    def named(end: str) -> tuple[str, str]:
        # A failure of a key is told of under names of its own; the cause says more than its frame.
        return f"{SPRING_HEADERS}exception-{end}", f"{SPRING_HEADERS}key-exception-{end}"

    topic = facts.text(f"{SPRING_HEADERS}original-topic")
    group = facts.text(f"{SPRING_HEADERS}original-consumer-group")
    error = facts.text(*named("cause-fqcn"), *named("fqcn"))
    return Told(
        Dialect.SPRING,
        pipeline=group,
        topic=topic,
        partition=facts.big_endian(f"{SPRING_HEADERS}original-partition"),
        offset=facts.big_endian(f"{SPRING_HEADERS}original-offset"),
        timestamp_ms=facts.big_endian(f"{SPRING_HEADERS}original-timestamp"),
        error=_short(error),
        message=facts.text(*named("message")),
        fingerprint=_fingerprint("spring", group, topic, error),
    )


def _streams(facts: _Facts) -> Told:
    def text(name: str) -> str:
        return facts.text(STREAMS_HEADERS + name)

    error = text("exception").partition(":")[0]  # some versions write the message behind it
    return Told(
        Dialect.STREAMS,
        topic=text("topic"),
        partition=facts.number(f"{STREAMS_HEADERS}partition"),
        offset=facts.number(f"{STREAMS_HEADERS}offset"),
        error=_short(error),
        message=text("message"),
        fingerprint=_fingerprint("streams", text("topic"), error),
    )


def _smallrye(facts: _Facts) -> Told:
    error = facts.text("dead-letter-cause-class-name", "dead-letter-exception-class-name")
    topic = facts.text("dead-letter-topic")
    return Told(
        Dialect.SMALLRYE,
        topic=topic,
        partition=facts.number("dead-letter-partition"),
        offset=facts.number("dead-letter-offset"),
        error=_short(error),
        message=facts.text("dead-letter-reason"),
        fingerprint=_fingerprint("smallrye", topic, error),
    )


def _fingerprint(*parts: str) -> str:
    """Twelve hex digits: the others do not write any."""
    return sha256("|".join(parts).encode()).hexdigest()[:12]


def _short(name: str) -> str:
    """The name of a Java class without its package."""
    return name.rpartition(".")[2]


def _is_none(_name: str) -> bool:
    """No header is known to be none of the original."""
    return False


def _begins(prefix: str) -> Callable[[str], bool]:
    def is_own(name: str) -> bool:
        return name.startswith(prefix)

    return is_own


_DIALECTS: tuple[tuple[Callable[[str], bool], str, Callable[[_Facts], Told]], ...] = (
    (_begins(ERROR_HEADERS), FIRST_ERROR_HEADER, _streamapp),
    (_begins(CONNECT_HEADERS), f"{CONNECT_HEADERS}connector.name", _connect),
    (_begins(SPRING_HEADERS), f"{SPRING_HEADERS}original-topic", _spring),
    (_begins(STREAMS_HEADERS), f"{STREAMS_HEADERS}exception", _streams),
    (SMALLRYE_HEADERS.__contains__, "dead-letter-reason", _smallrye),
)
"""For each dialect which headers are its own, one that it always writes, and how they are read.

Ours come first: a letter of ours may have a dead letter of others as its original.
"""
