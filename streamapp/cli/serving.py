"""The web server of a worker: metrics, health and status."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import typer

from streamapp.clock import Clock
from streamapp.errors import PortInUseError
from streamapp.observability.exporter import MetricsExporter
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.outline import Outline
from streamapp.web.server import View, WebServer, WorkerView

DEFAULT_PORT = 9464
"""The port that OpenTelemetry's Prometheus exporters use by default."""

PORT_VARIABLE = "STREAMAPP_WEB_PORT"
"""Environment variable with another port."""


@asynccontextmanager
async def serving(
    stages: Sequence[StageMetrics],
    clock: Clock,
    *,
    port: int,
    or_any: bool = False,
    say: Callable[[str], None] = typer.echo,
    outlines: Sequence[Outline] = (),
) -> AsyncIterator[WebServer]:
    """Serve metrics, health and status of these stages while the block runs.

    Args:
        stages: the counters.
        clock: the clock that the counters are written with.
        port: port to listen on; 0 takes any free port.
        or_any: take a free port when this one is in use, and say so.
        say: prints the addresses.
        outlines: what the pipelines are, for the status page.

    Raises:
        PortInUseError: the port is in use.
        ConfigurationError: there is no such port.
    """
    exporter = MetricsExporter(clock)
    for metrics in stages:
        exporter.stages.add(metrics)
    view = WorkerView(lambda: stages, exporter.render, clock, outlines=outlines)
    async with listening(view, port=port, or_any=or_any, say=say) as server:
        yield server


@asynccontextmanager
async def listening(
    view: View, *, port: int, or_any: bool = False, say: Callable[[str], None] = typer.echo
) -> AsyncIterator[WebServer]:
    """Serve this view while the block runs; see `serving`."""
    server = WebServer(view, port=port)
    try:
        await server.start()
    except PortInUseError:
        if not or_any:
            raise
        server = WebServer(view)
        await server.start()
        say(f"Port {port} is in use; listening on port {server.port} instead.")
    try:
        say(f"Status   {server.url}")
        say(f"Metrics  {server.url}metrics")
        say(f"Health   {server.url}healthz and {server.url}readyz")
        yield server
    finally:
        await server.stop()
