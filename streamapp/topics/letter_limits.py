"""How large the batches of a dead-letter topic may be, so that it takes what its source held."""

from collections.abc import Iterable, Iterator

from streamapp.brokers.protocols import TopicDescription

DEAD_LETTER_EXTRA_BYTES = 65_536
"""How much a dead-letter topic's limit exceeds its source's: space for the error headers."""


def letter_risks(letters: TopicDescription, sources: Iterable[TopicDescription]) -> Iterator[str]:
    """Why a dead letter may not fit into its topic, which stops the stage; one sentence each.

    A dead letter that is too large is compressed, as its record may have been in its source.
    """
    needed = max(topic.max_message_bytes for topic in sources) + DEAD_LETTER_EXTRA_BYTES
    if letters.max_message_bytes < needed:
        yield (
            f"topic {letters.name} takes batches of {letters.max_message_bytes} bytes"
            " (max.message.bytes), and a dead letter may be larger, which stops the stage; raise"
            f" it to {needed}: that of the source and {DEAD_LETTER_EXTRA_BYTES} for headers"
        )
    if letters.compression_type == "uncompressed":
        yield (
            f"topic {letters.name} stores batches uncompressed (compression.type), so a dead letter"
            " that came compressed may not fit, which stops the stage; set it to producer"
        )
