"""`streamapp generate`: events of the playback example, written to Kafka."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Broker, ProducerConfig
from streamapp.cli.event_writer import EventWriter, ignore_batch
from streamapp.cli.kafka import kafka_line, kafka_settings, muted_client_log
from streamapp.cli.ledger import Ledger
from streamapp.cli.options import BootstrapServersOption, LogFormatOption, ProgressSecondsOption
from streamapp.cli.pace import (
    ForeverOption,
    Pace,
    RateOption,
    SecondsOption,
    SeedOption,
    checked_amount,
)
from streamapp.cli.say import say
from streamapp.cli.signals import stop_on_signal
from streamapp.clock import Clock, SystemClock
from streamapp.examples.playback.generator import PlaybackGenerator
from streamapp.examples.playback.pipeline import SOURCE
from streamapp.observability.logs import LogFormat, configure_logging, log_line
from streamapp.topics.topic import check_topic_name

_EVENTS_AT_A_TIME = 5_000
_MAX_UNACKNOWLEDGED_BATCHES = 16
_WAIT_SECONDS = 0.02
_STOP_SECONDS = 10.0
"""Longest wait for outstanding acknowledgements after a signal."""


def generate(
    *,
    records: Annotated[
        int | None, typer.Option(min=1, help="Stop after this number of records.")
    ] = None,
    seconds: SecondsOption = None,
    forever: ForeverOption = False,
    rate: RateOption = None,
    seed: SeedOption = 1,
    topic: Annotated[str, typer.Option(help="Topic to write to; it must exist.")] = SOURCE.name,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write every event and its expected result to this file as JSON lines; an existing"
            " file is replaced.",
        ),
    ] = None,
    bootstrap_servers: BootstrapServersOption = None,
    progress_seconds: ProgressSecondsOption = 10.0,
    log_format: LogFormatOption = LogFormat.PLAIN,
) -> None:
    """Write playback events to Kafka.

    As in reality, some events are malformed, incomplete, duplicate, late, or of unknown titles.
    """
    amount = checked_amount(records=records, seconds=seconds, forever=forever, default_records=None)
    configure_logging("WARNING", log_format)
    check_topic_name(topic)
    settings = kafka_settings(bootstrap_servers)
    generation = Generation(
        KafkaBroker(settings), topic, PlaybackGenerator(seed), SystemClock(), ledger
    )
    asyncio.run(
        generation.run(
            kafka=kafka_line(settings),
            records=amount,
            seconds=seconds,
            per_second=rate,
            progress_seconds=progress_seconds,
        )
    )


class Generation:
    """One run of the generator, which writes to one topic.

    Args:
        broker: has the topic.
        topic: name of the topic.
        generator: makes the events.
        clock: time.
        ledger: file that lists what was sent.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        generator: PlaybackGenerator,
        clock: Clock,
        ledger: Path | None,
    ) -> None:
        self._producer = broker.producer(ProducerConfig())
        self._topic = topic
        self._generator = generator
        self._clock = clock
        self._ledger = ledger

    async def run(
        self,
        *,
        kafka: str,
        records: int | None,
        seconds: float | None,
        per_second: float | None,
        progress_seconds: float,
    ) -> None:
        """Write until the pace is over or a signal arrives; then print what was written.

        Raises:
            TopicError: there is no such topic.
            BrokerError: Kafka cannot be reached, or a batch failed.
        """
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            stack.enter_context(stop_on_signal(stop.set, message="Stopping"))
            with muted_client_log():
                await self._producer.start()
            say(kafka)
            stack.push_async_callback(self._producer.stop)
            partitions = await self._producer.partition_count(self._topic)
            # Opened last: a run that cannot start leaves the ledger of the previous run in place.
            ledger = None
            if self._ledger is not None:
                ledger = await stack.enter_async_context(Ledger(self._ledger))
            on_written = ledger.acknowledged if ledger else ignore_batch
            writer = EventWriter(self._producer, self._topic, partitions, on_written=on_written)
            pace = Pace(self._clock, records=records, seconds=seconds, per_second=per_second)
            try:
                await self._write_until(stop, writer, pace, ledger, progress_seconds)
            finally:
                self._end(writer, pace, ledger)

    def _end(self, writer: EventWriter, pace: Pace, ledger: Ledger | None) -> None:
        say(self._sentence(writer, pace))
        if writer.unacknowledged:
            count = sum(len(batch.events) for batch in writer.unacknowledged)
            typer.echo(log_line(f"{count:,} more were sent and not acknowledged."), err=True)
        if ledger is not None:
            for batch in writer.unacknowledged:
                ledger.unknown(batch)

    async def _write_until(
        self,
        stop: asyncio.Event,
        writer: EventWriter,
        pace: Pace,
        ledger: Ledger | None,
        progress_seconds: float,
    ) -> None:
        """Write; after a stop, wait a while for outstanding acknowledgements."""
        async with asyncio.TaskGroup() as group:
            progress = group.create_task(self._print_progress(writer, pace, progress_seconds))
            stopping = group.create_task(stop.wait())
            writing = group.create_task(self._write(writer, pace, ledger))
            await asyncio.wait({writing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            pace.stop()
            await asyncio.wait({writing}, timeout=_STOP_SECONDS)
            for task in (progress, stopping, writing):
                task.cancel()

    async def _write(self, writer: EventWriter, pace: Pace, ledger: Ledger | None) -> None:
        while not pace.over:
            count = pace.take(_EVENTS_AT_A_TIME)
            if not count:
                await self._clock.sleep(_WAIT_SECONDS)
                continue
            await writer.write(self._generator.take(count, int(self._clock.time() * 1000)))
            await writer.wait_for_acknowledgements(leave=_MAX_UNACKNOWLEDGED_BATCHES)
            if ledger is not None:
                await ledger.flush()
        await writer.wait_for_acknowledgements()

    async def _print_progress(self, writer: EventWriter, pace: Pace, seconds: float) -> None:
        while True:
            await self._clock.sleep(seconds)
            say(self._sentence(writer, pace))

    def _sentence(self, writer: EventWriter, pace: Pace) -> str:
        seconds = pace.elapsed_seconds
        return (
            f"{writer.written:,} records written to {self._topic} in {seconds:,.1f} s"
            f" ({writer.written / max(seconds, 1e-9):,.0f}/s)"
        )
