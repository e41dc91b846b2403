"""Writes batches."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from streamapp.brokers.compression import Compression
from streamapp.record import Headers


@dataclass(frozen=True, slots=True)
class ProducerConfig:
    """How batches are written: always idempotent, always acknowledged by all in-sync replicas.

    Attributes:
        max_batch_bytes: size at which a batch is full; an empty batch accepts one record of any
            size, so the caller must check sizes before it appends.
        request_timeout_seconds: deadline of one request to the broker.
    """

    max_batch_bytes: int = 512 * 1024
    request_timeout_seconds: float = 40.0


BatchAppend: TypeAlias = Callable[[int, int, bytes | None, bytes | None, Headers], object | None]
"""Adds a record to a batch. Takes its index in the batch, timestamp, key, value, headers.

`None` means that the batch is full and the record was not added.
"""


class BatchBuilder(Protocol):
    """A batch of records for one partition, each encoded when it is appended.

    There are two ways to fill a batch, which must not be mixed: `append`, or `appender` followed
    by `seal`, which costs less.
    """

    @property
    def appender(self) -> BatchAppend:
        """A function that adds a record; the caller counts the index from 0.

        For the Kafka broker, headers must be a list.
        """

    def seal(self, records: int) -> None:
        """Accept no more records.

        Args:
            records: how many were appended with `appender`.
        """

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = ...,
    ) -> object | None:
        """Append a record; `None` means that the batch is full and the record was not added."""

    def record_count(self) -> int:
        """Records in the batch."""

    def size(self) -> int:
        """Encoded bytes so far, without compression."""


class Producer(Protocol):
    """An idempotent producer that sends whole batches.

    After a failed batch a producer cannot be used any more: stop it and make a new one.
    """

    async def start(self) -> None:
        """Connect and get a producer id."""

    async def stop(self) -> None:
        """Close at once, without sending what is unsent: await the acknowledgements before."""

    async def partition_count(self, topic: str) -> int:
        """Number of partitions of the topic.

        Raises:
            TopicError: there is no such topic.
        """

    def create_batch(
        self, max_bytes: int | None = None, for_large: Sequence[Compression] = ()
    ) -> BatchBuilder:
        """Make an empty batch, full at `max_batch_bytes`, or at `max_bytes` if that is less.

        It is compressed as the broker is told to, if that makes it smaller. One record alone may be
        larger than `max_bytes`: then the first of the codecs `for_large` is used that makes the
        batch small enough.
        """

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        """Close a batch and send it. The future ends when the batch is acknowledged or has failed.

        It fails with a `BatchRefusedError` if the broker refused it for what is in it.

        Batches for one partition are written in the order of these calls.
        """
