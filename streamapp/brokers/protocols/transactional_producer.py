"""Writes whole transactions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamapp.record import Headers, TopicPartition


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record that is to be written.

    Attributes:
        place: topic and partition that it goes to.
        key, value, headers: what is written.
        timestamp_ms: milliseconds since the epoch; `None` is the present.
        max_batch_bytes: largest batch that the topic takes, if that is known: a record that is
            larger is compressed.
    """

    place: TopicPartition
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    max_batch_bytes: int | None = None


class TransactionalProducer(Protocol):
    """Writes records in transactions: readers see all records of one, or none.

    After an error it cannot be used any more: stop it. Whether the transaction that failed was
    committed is known only to who starts the next producer with the same id, and reads then.
    """

    async def start(self) -> None:
        """Connect, end what a producer with this id has left open, and let it write no more."""

    async def stop(self) -> None:
        """Close; an open transaction is aborted."""

    async def write(self, records: Sequence[OutgoingRecord]) -> Mapping[TopicPartition, int]:
        """Write records in one transaction, and wait until it is committed.

        Readers may see them a little later.

        Returns:
            The offset behind the last of them in each partition; without a partition of which it
            is not known, because the client has sent something twice.

        Raises:
            FencedError: another producer with this id has started.
            BatchRefusedError: a topic refuses them for what is in them.
            BrokerError: they could not be written, or nobody knows whether they were.
        """
