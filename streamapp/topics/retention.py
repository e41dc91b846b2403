"""Tells which topics may delete records before they are read."""

from collections.abc import Iterator

from streamapp.brokers.protocols import TopicDescription

RETENTION_DELAYS = 8
"""A retry topic keeps records for at least so many times as long as they wait in it."""

SHORT_RETENTION_MS = 3_600_000
"""A stage that stands still for an hour must not lose records."""


def retention_risks(topic: TopicDescription, delay_seconds: float = 0.0) -> Iterator[str]:
    """Why records of the topic may be deleted unread, one sentence for each reason.

    The age of events is none of them: old events are not written with their own timestamps to a
    topic that is read later.

    Args:
        topic: the topic.
        delay_seconds: how long records wait in it on purpose.
    """
    if not topic.deletes_old:
        return
    retention_ms = topic.retention_ms
    needed_ms = max(SHORT_RETENTION_MS, RETENTION_DELAYS * delay_seconds * 1000)
    if retention_ms is not None and retention_ms < needed_ms:
        yield (
            f"topic {topic.name} keeps records for {retention_ms / 1000:g} s only (retention.ms):"
            " what is not read by then is lost; raise it"
        )
    if int(limit := topic.config.get("retention.bytes", "-1")) >= 0:
        yield (
            f"topic {topic.name} keeps {limit} bytes of each partition (retention.bytes):"
            " what is beyond that is deleted, read or not; set it to -1"
        )
