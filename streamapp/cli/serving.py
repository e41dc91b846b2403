"""The web server of a worker: metrics, health and status."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streamapp.cli.say import say as say_line
from streamapp.clock import Clock
from streamapp.errors import PortInUseError
from streamapp.observability.exemplars import Exemplars
from streamapp.observability.exporter import MetricsExporter
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.outline import Outline
from streamapp.web.access import LOOPBACK, Access
from streamapp.web.server import View, WebServer, WithoutMetrics, WorkerView

_NOT_EXPORTED = "not exported: data_monitoring.enabled is false"


@asynccontextmanager
async def serving(  # noqa: PLR0913 - each is a part of what is served
    stages: Sequence[StageMetrics],
    clock: Clock,
    *,
    port: int,
    or_any: bool = False,
    say: Callable[[str], None] = say_line,
    outlines: Sequence[Outline] = (),
    exports_metrics: bool = True,
    chains: Callable[[], Sequence[dict[str, Any]]] = tuple,
    host: str = LOOPBACK,
    access: Access | None = None,
    exemplars: Exemplars | None = None,
) -> AsyncIterator[WebServer]:
    """Serve metrics, health and status of these stages while the block runs.

    Args:
        stages: the counters.
        clock: the clock that the counters are written with.
        port: port to listen on; 0 takes any free port.
        or_any: take a free port when this one is in use, and say so.
        say: prints the addresses.
        outlines: what the pipelines are, for the status page.
        exports_metrics: whether there is something at `/metrics`.
        chains: returns the agents of assembled pipelines, as JSON can hold them.
        host: address to listen on.
        access: what is asked of whoever asks.
        exemplars: traces that go with the metrics; `None` where none are made.

    Raises:
        PortInUseError: the port is in use.
        ConfigurationError: there is no such port.
    """
    exporter = MetricsExporter(clock, exemplars)
    for metrics in stages:
        exporter.stages.add(metrics)
    view = WorkerView(lambda: stages, exporter.render, clock, outlines=outlines, chains=chains)
    serves = listening(
        view,
        port=port,
        or_any=or_any,
        say=say,
        exports_metrics=exports_metrics,
        host=host,
        access=access,
    )
    async with serves as server:
        yield server


@asynccontextmanager
async def listening(
    view: View,
    *,
    port: int,
    or_any: bool = False,
    say: Callable[[str], None] = say_line,
    exports_metrics: bool = True,
    host: str = LOOPBACK,
    access: Access | None = None,
) -> AsyncIterator[WebServer]:
    """Serve this view while the block runs; see `serving`."""
    if not exports_metrics:
        view = WithoutMetrics(view, _NOT_EXPORTED)
    server = WebServer(view, host=host, port=port, access=access)
    try:
        await server.start()
    except PortInUseError:
        if not or_any:
            raise
        server = WebServer(view, host=host, access=access)
        await server.start()
        say(f"Port {port} is in use; listening on port {server.port} instead.")
    try:
        say(f"Status   {server.url}")
        say(f"Metrics  {server.url}metrics" if exports_metrics else f"Metrics  {_NOT_EXPORTED}")
        say(f"Health   {server.url}healthz and {server.url}readyz")
        yield server
    finally:
        await server.stop()
