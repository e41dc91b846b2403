"""`streamapp demo`: the playback pipeline on the memory broker, fed by the generator."""

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Annotated

import typer

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import ProducerConfig
from streamapp.cli.demo_accounts import Accounts
from streamapp.cli.demo_outage import BEGINS_AFTER_RECORDS, Outage
from streamapp.cli.demo_summary import summary
from streamapp.cli.environment import refuse_unknown_settings
from streamapp.cli.event_writer import EventWriter, WrittenBatch
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.figures import Figures
from streamapp.cli.needed_topics import DEFAULT_PARTITIONS, needed_topics
from streamapp.cli.options import ProgressSecondsOption
from streamapp.cli.pace import (
    ForeverOption,
    Pace,
    RateOption,
    SecondsOption,
    SeedOption,
    checked_amount,
)
from streamapp.cli.progress import show_progress
from streamapp.cli.say import say
from streamapp.cli.serving import (
    serving,
)
from streamapp.cli.signals import stop_on_signal
from streamapp.cli.variables import DEFAULT_PORT, PORT_VARIABLE
from streamapp.clock import Clock, SystemClock
from streamapp.examples.playback.catalog import TitleCatalog
from streamapp.examples.playback.generator import PlaybackGenerator
from streamapp.examples.playback.pipeline import ASKS_CATALOG, SOURCE, build_pipeline, enrich_from
from streamapp.native_leaves import SELECTED
from streamapp.observability.logs import configure_logging
from streamapp.pipeline.topology import Topology, build
from streamapp.service import Service

DEFAULT_RECORDS = 200_000
MAX_BEHIND_RECORDS = 10_000
"""When the pipeline is this far behind, the generator waits; this bounds the memory."""

_RETAINED_RECORDS = 1_000
"""Number of finished records that each partition keeps."""

_EVENTS_AT_A_TIME = 500
_WAIT_SECONDS = 0.01


def demo(
    *,
    records: Annotated[
        int | None,
        typer.Option(min=1, help=f"Records to process.  [default: {DEFAULT_RECORDS}]"),
    ] = None,
    seconds: SecondsOption = None,
    rate: RateOption = None,
    forever: ForeverOption = False,
    fused: Annotated[
        bool,
        typer.Option(help="Fuse the last two stages, or put a topic between them."),
    ] = True,
    outage: Annotated[
        bool,
        typer.Option("--outage", help="Let the title catalogue be down for a while in between."),
    ] = False,
    seed: SeedOption = 1,
    web_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            envvar=PORT_VARIABLE,
            help="Port of metrics, health and status on 127.0.0.1; 0 takes any free port."
            f"  [default: {DEFAULT_PORT}, or any free port]",
        ),
    ] = None,
    progress_seconds: ProgressSecondsOption = 10.0,
) -> None:
    """Run the playback pipeline in this process, without Kafka and without a network.

    A generator writes events, some of them broken on purpose. At the end the demo accounts for
    every event.
    """
    amount = checked_amount(
        records=records, seconds=seconds, forever=forever, default_records=DEFAULT_RECORDS
    )
    refuse_unknown_settings(os.environ)
    configure_logging("ERROR")  # the generator causes the dead letters, and the summary counts them
    catalog = TitleCatalog()
    demonstration = Demonstration(
        build(build_pipeline(fused=fused, enrich=enrich_from(catalog))),
        PlaybackGenerator(seed),
        SystemClock(),
    )
    if outage:
        demonstration.show_outage_of(catalog)
    pace = Pace(demonstration.clock, records=amount, seconds=seconds, per_second=rate)
    accounts = asyncio.run(
        demonstration.run(pace, web_port=web_port, progress_seconds=progress_seconds)
    )
    for line in summary(accounts):
        typer.echo(line)
    if not accounts.complete:
        raise typer.Exit(ExitCode.FAILURE)


class Demonstration:
    """The pipeline, its broker and its feed.

    Args:
        topology: the pipeline.
        generator: makes its events.
        clock: time.
    """

    def __init__(self, topology: Topology, generator: PlaybackGenerator, clock: Clock) -> None:
        self.clock = clock
        self._topology = topology
        self._generator = generator
        self._broker = MemoryBroker(clock, retention_records=_RETAINED_RECORDS)
        self._service = Service(self._broker, [topology], clock=clock)
        self._accounts = Accounts(self._broker, topology)
        self._outage: Outage | None = None

    def show_outage_of(self, catalog: TitleCatalog) -> None:
        """Take the catalogue of the pipeline down when a part of the events was written."""
        [stage] = [one for one in self._service.metrics if one.stage == ASKS_CATALOG]
        self._outage = self._accounts.outage = Outage(catalog, stage, self.clock, typer.echo)

    async def run(self, pace: Pace, *, web_port: int | None, progress_seconds: float) -> Accounts:
        """Feed the pipeline at this pace, drain it, and count where every event ended.

        Raises:
            PortInUseError: `web_port` is in use.
        """
        stages = self._service.metrics
        await self._broker.admin().create_topics(needed_topics(self._topology, existing={}))
        async with AsyncExitStack() as stack:
            stack.enter_context(
                stop_on_signal(pace.stop, message="Stopping: finishing what was generated")
            )
            port = DEFAULT_PORT if web_port is None else web_port
            await stack.enter_async_context(
                serving(
                    stages,
                    self.clock,
                    port=port,
                    or_any=web_port is None,
                    outlines=self._service.outlines,
                )
            )
            say(f"Runs     {SELECTED.sentence}")
            figures = Figures(stages, self.clock)
            await stack.enter_async_context(show_progress(figures, seconds=progress_seconds))
            await stack.enter_async_context(self._accounts.counting())
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed(pace, group))
                await self._service.run()
            await self._accounts.close()
        return self._accounts

    async def _feed(self, pace: Pace, group: asyncio.TaskGroup) -> None:
        """Write events, never far ahead of the pipeline; stop the service when all have ended."""
        producer = self._broker.producer(ProducerConfig())
        await producer.start()
        writer = EventWriter(producer, SOURCE.name, DEFAULT_PARTITIONS, on_written=self._count)
        accounts = self._accounts
        while not pace.over:
            behind = accounts.generated - await accounts.ended()
            count = pace.take(_EVENTS_AT_A_TIME) if behind < MAX_BEHIND_RECORDS else 0
            self._begin_outage_if_due(pace, group)
            if count:
                await writer.write(self._generator.take(count, int(self.clock.time() * 1000)))
                await writer.wait_for_acknowledgements()
            await self.clock.sleep(0 if count else _WAIT_SECONDS)
        while not await accounts.all_finished():
            await self.clock.sleep(_WAIT_SECONDS)
        accounts.seconds = pace.elapsed_seconds
        await producer.stop()
        self._service.stop()

    def _begin_outage_if_due(self, pace: Pace, group: asyncio.TaskGroup) -> None:
        outage = self._outage
        is_due = pace.half_over or pace.taken >= BEGINS_AFTER_RECORDS
        if outage is not None and is_due and not outage.has_begun:
            group.create_task(outage.run())

    def _count(self, batch: WrittenBatch) -> None:
        self._accounts.add_generated(kind for _, _, _, kind, _ in batch.events)
