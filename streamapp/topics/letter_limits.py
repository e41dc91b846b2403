"""How large the batches of a dead-letter topic may be, so that it takes what its source held."""

from collections.abc import Iterable, Iterator

from streamapp.brokers.protocols import TopicDescription

DEAD_LETTER_EXTRA_BYTES = 65_536
"""How much a dead-letter topic's limit exceeds its source's: space for the error headers."""


def letter_risks(
    letters: TopicDescription, sources: Iterable[TopicDescription], *, are_retries: bool = False
) -> Iterator[str]:
    """Why a dead letter may not fit into its topic, which stops the stage; one sentence each.

    A dead letter that is too large is compressed, as its record may have been in its source.

    Args:
        letters: the topic.
        sources: where its records are from.
        are_retries: whether it is a retry topic, whose records are like dead letters.
    """
    one = "a record that is to wait there" if are_retries else "a dead letter"
    effect = "so that its retries are left out" if are_retries else "which stops the stage"
    largest = max((topic.max_message_bytes for topic in sources), default=0)
    needed = largest + DEAD_LETTER_EXTRA_BYTES
    if letters.max_message_bytes < needed:
        yield (
            f"topic {letters.name} takes batches of {letters.max_message_bytes} bytes"
            f" (max.message.bytes), and {one} may be larger, {effect}; raise"
            f" it to {needed}: that of the source and {DEAD_LETTER_EXTRA_BYTES} for headers"
        )
    if letters.compression_type == "uncompressed":
        yield (
            f"topic {letters.name} stores batches uncompressed (compression.type), so {one}"
            f" that came compressed may not fit, {effect}; set it to producer"
        )
