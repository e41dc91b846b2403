"""A dead-letter topic that may be too narrow is told before it stops a stage."""

from streamapp.brokers.protocols import TopicDescription
from streamapp.topics.letter_limits import letter_risks


def topic(name: str, limit: int, **config: str) -> TopicDescription:
    return TopicDescription(name, 1, 1, {"max.message.bytes": str(limit), **config})


SOURCES = [topic("a", 1000), topic("b", 500)]


def test_the_largest_source_and_the_error_headers_have_to_fit() -> None:
    assert list(letter_risks(topic("dlq", 66_536), SOURCES)) == []
    [risk] = letter_risks(topic("dlq", 66_535), SOURCES)
    assert risk.startswith("topic dlq takes batches of 66535 bytes (max.message.bytes)")
    assert "raise it to 66536" in risk


def test_a_topic_that_is_stored_uncompressed_may_not_take_what_came_compressed() -> None:
    uncompressed = topic("dlq", 66_536, **{"compression.type": "uncompressed"})
    [risk] = letter_risks(uncompressed, SOURCES)
    assert "set it to producer" in risk
    stored = topic("dlq", 66_536, **{"compression.type": "gzip"})
    assert list(letter_risks(stored, SOURCES)) == []
