"""The playback pipeline on the memory broker with its page, as one worker and as two."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import ProducerConfig
from streamapp.cli.event_writer import EventWriter
from streamapp.cli.needed_topics import DEFAULT_PARTITIONS, needed_topics
from streamapp.clock import SystemClock
from streamapp.examples.playback.catalog import TitleCatalog
from streamapp.examples.playback.generator import PlaybackGenerator
from streamapp.examples.playback.pipeline import SOURCE, build_pipeline, enrich_from
from streamapp.observability.exporter import MetricsExporter
from streamapp.pipeline.topology import build
from streamapp.service import Service
from streamapp.supervisor.answers import WorkersPort
from streamapp.supervisor.restarts import RestartPolicy, Restarts
from streamapp.supervisor.slot import Slot
from streamapp.supervisor.view import WorkersView
from streamapp.web.server import View, WebServer, WorkerView

_FEED_SECONDS = 0.2


@dataclass
class Demo:
    """A pipeline that runs in this process.

    Attributes:
        service: the service.
        catalog: what the stage `enrich` asks; tests take it down.
        server: serves its page.
        view: what that shows.
    """

    service: Service
    catalog: TitleCatalog
    server: WebServer
    view: View

    async def serve_anew(self) -> None:
        """Start another server on the port of one that was stopped."""
        self.server = WebServer(self.view, port=self.server.port)
        await self.server.start()


@asynccontextmanager
async def served_demo(*, workers: int = 1, records: int = 200) -> AsyncIterator[Demo]:
    """Run the pipeline and serve its page while the block runs.

    Args:
        workers: how many workers the page shows; all of them are this one.
        records: how many come at a time, five times a second.
    """
    clock, catalog = SystemClock(), TitleCatalog()
    topology = build(build_pipeline(fused=True, enrich=enrich_from(catalog)))
    broker = MemoryBroker(clock, retention_records=1000)
    await broker.admin().create_topics(needed_topics(topology, existing={}))
    service = Service(broker, [topology], clock=clock)
    exporter = MetricsExporter(clock)
    for metrics in service.metrics:
        exporter.stages.add(metrics)
    worker = WorkerView(lambda: service.metrics, exporter.render, clock, outlines=service.outlines)
    async with AsyncExitStack() as stack:
        view: View = worker
        if workers > 1:
            servers = [WebServer(worker) for _ in range(workers)]
            view = await _crew_view(servers, stack)
        demo = Demo(service, catalog, WebServer(view), view)
        await demo.server.start()
        # No task group: a fixture begins in one task and ends in another.
        runs = asyncio.create_task(service.run())
        feed = asyncio.create_task(_feed(broker, records))
        try:
            yield demo
        finally:
            catalog.is_down = False
            feed.cancel()
            service.stop()
            await asyncio.wait([runs, feed])
            await demo.server.stop()
        runs.result()


async def _crew_view(servers: Sequence[WebServer], stack: AsyncExitStack) -> WorkersView:
    clock, slots = SystemClock(), []
    for number, server in enumerate(servers):
        await server.start()
        stack.push_async_callback(server.stop)
        slot = Slot(number, Restarts(RestartPolicy(), random.Random(1)))
        slot.set_up(server.port, clock.monotonic())
        slots.append(slot)
    port = WorkersPort(slots)
    stack.push_async_callback(port.close)
    return WorkersView(slots, port, clock)


async def _feed(broker: MemoryBroker, records: int) -> None:
    clock, generator = SystemClock(), PlaybackGenerator(1)
    producer = broker.producer(ProducerConfig())
    await producer.start()
    writer = EventWriter(producer, SOURCE.name, DEFAULT_PARTITIONS)
    try:
        while True:
            await writer.write(generator.take(records, int(clock.time() * 1000)))
            await writer.wait_for_acknowledgements()
            await clock.sleep(_FEED_SECONDS)
    finally:
        await producer.stop()
