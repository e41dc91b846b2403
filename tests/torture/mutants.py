"""Workers with a planted bug: `python -m tests.torture.mutants MUTANT run ...`.

Each bug is planted where the runtime calls its Kafka client, so that it does not depend on the
inner structure of the runtime.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from streamapp.brokers.kafka.batch import KafkaBatch
from streamapp.brokers.kafka.consumer import KafkaConsumer
from streamapp.brokers.kafka.producer import KafkaProducer
from streamapp.brokers.kafka.transactions import KafkaTransactions
from streamapp.brokers.protocols import CommittedOffset, OutgoingRecord
from streamapp.cli.main import main
from streamapp.letters.ledger import LEDGER_SUFFIX
from streamapp.pipeline.retry_topics import RETRY_INFIX
from streamapp.record import Headers, TopicPartition
from streamapp.runtime.commit_metadata import encode
from streamapp.runtime.retry_records import DUE_HEADER

_CLAIMED = 50
"""So many records beyond each committed offset are said to be finished."""

_SOONER_MS = 500


def commit_early() -> None:
    """Commit records as soon as they are fetched, before they are worked on."""
    fetch = KafkaConsumer.fetch

    async def fetch_and_commit(self: KafkaConsumer, *args: Any, **options: Any) -> Any:
        batches = await fetch(self, *args, **options)
        held = self.assignment()
        await self.commit(
            {
                TopicPartition(*name): CommittedOffset(records[-1].offset + 1)
                for name, records in batches.items()
                if TopicPartition(*name) in held
            }
        )
        return batches

    KafkaConsumer.fetch = fetch_and_commit  # type: ignore[method-assign]  # the bug


def no_ack() -> None:
    """Take outputs for written when they are sent, without waiting for the acknowledgement."""

    def make_hasty(self: KafkaProducer) -> Any:
        return AIOKafkaProducer(
            **self._connection.options(),
            acks=0,
            max_batch_size=self._config.max_batch_bytes,
            request_timeout_ms=int(self._config.request_timeout_seconds * 1000),
        )

    KafkaProducer._make_client = make_hasty  # type: ignore[method-assign]  # the bug


def skip_unfinished() -> None:
    """Commit metadata that says of unfinished records that they are finished."""
    commit = KafkaConsumer.commit

    async def commit_too_much(
        self: KafkaConsumer, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        claimed = {
            partition: CommittedOffset(
                kept.offset, encode(kept.offset, range(kept.offset + 1, kept.offset + _CLAIMED))[0]
            )
            for partition, kept in offsets.items()
        }
        await commit(self, claimed)

    KafkaConsumer.commit = commit_too_much  # type: ignore[method-assign]  # the bug


def unordered() -> None:
    """Work on records of one key side by side; the pipeline reads this from its environment."""


def no_hold() -> None:
    """Hold nothing, whatever is down; the pipeline reads this from its environment."""


def letters_unawaited() -> None:
    """Take dead letters for written, whatever becomes of them."""
    send = KafkaProducer.send_batch

    async def send_and_forget(
        self: KafkaProducer, batch: Any, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        sent = await send(self, batch, topic, partition)
        if not topic.endswith(".dlq"):
            return sent
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())
        written: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    KafkaProducer.send_batch = send_and_forget  # type: ignore[method-assign]  # the bug


def skip_heads() -> None:
    """Go on behind the record for which a partition of a retry topic waits."""
    seek = KafkaConsumer.seek

    def seek_past(self: KafkaConsumer, partition: TopicPartition, offset: int) -> None:
        seek(self, partition, offset + (RETRY_INFIX in partition.topic))

    KafkaConsumer.seek = seek_past  # type: ignore[method-assign]  # the bug


def hasty() -> None:
    """Write half a second too little into the due times of records that wait."""
    made = KafkaBatch.__init__

    def make(self: KafkaBatch, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        append = self.appender

        def append_hastily(
            offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Headers
        ) -> object | None:
            sooner = [
                (name, b"%d" % (int(content) - _SOONER_MS) if name == DUE_HEADER else content)
                for name, content in headers
            ]
            return append(offset, timestamp, key, value, sooner)

        self.appender = append_hastily

    KafkaBatch.__init__ = make  # type: ignore[method-assign]  # the bug
    # The native leaves append to the builder itself if they find it.
    KafkaBatch.builder = None  # type: ignore[assignment,method-assign]  # a part of the bug


def ledger_first() -> None:
    """Write the entries of the ledger, and then, in another transaction, what they tell of."""
    write = KafkaTransactions.write

    async def write_apart(self: KafkaTransactions, records: Sequence[OutgoingRecord]) -> Any:
        entries = [one for one in records if one.place.topic.endswith(LEDGER_SUFFIX)]
        await write(self, entries)
        return await write(self, [one for one in records if one not in entries])

    KafkaTransactions.write = write_apart  # type: ignore[method-assign]  # the bug


MUTANTS: Mapping[str, Callable[[], None]] = {
    "commit-early": commit_early,
    "no-ack": no_ack,
    "skip-unfinished": skip_unfinished,
    "unordered": unordered,
    "no-hold": no_hold,
    "letters-unawaited": letters_unawaited,
    "skip-heads": skip_heads,
    "hasty": hasty,
    "ledger-first": ledger_first,
}


if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    main()
