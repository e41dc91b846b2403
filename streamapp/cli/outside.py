"""Serves what Kafka says of stages as metrics until it is stopped, for `streamapp exporter`."""

import asyncio
from dataclasses import dataclass

from streamapp.beside import beside
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.cli.kafka import kafka_line, kafka_settings
from streamapp.cli.loading import load_topologies
from streamapp.cli.say import say
from streamapp.cli.serving import listening
from streamapp.cli.signals import stop_on_signal
from streamapp.cli.web_access import access_of
from streamapp.clock import SystemClock
from streamapp.errors import ConfigurationError
from streamapp.exporter.families import OutsideExporter
from streamapp.exporter.watch import OutsideWatch
from streamapp.pipeline.topology import Segment
from streamapp.web.access import Access
from streamapp.web.exporter import ExporterView


@dataclass(frozen=True, slots=True)
class ExporterOptions:
    """The options of `streamapp exporter`.

    Attributes:
        targets: each `module:pipeline`, or `file.json#name`.
        packages: packages that a configuration file may import from, beside those that the
            environment allows.
        bootstrap_servers: Kafka's address; `None` if the option is not given.
        interval_seconds: time between two looks.
        web_port, web_host: where it listens.
        web_open: whether probes and scrapes need no token.
    """

    targets: tuple[str, ...]
    packages: tuple[str, ...]
    bootstrap_servers: str | None
    interval_seconds: float
    web_port: int
    web_host: str
    web_open: bool


def export(options: ExporterOptions) -> None:
    """Serve until it is stopped.

    Raises:
        ConfigurationError: a target, an address or a setting is wrong.
        PortInUseError: another process has the port.
    """
    access = access_of(options.web_host, opens_probes=options.web_open)
    settings = kafka_settings(options.bootstrap_servers)
    segments = _segments(options)
    say(kafka_line(settings))
    asyncio.run(_export(KafkaBroker(settings), segments, options, access))


def _segments(options: ExporterOptions) -> list[Segment]:
    found: dict[str, tuple[str, list[Segment]]] = {}
    for target in options.targets:
        for topology in load_topologies(target, options.packages):
            if topology.pipeline in found:
                other = found[topology.pipeline][0]
                raise ConfigurationError(
                    f"{other} and {target} both have a pipeline {topology.pipeline!r}; name it once"
                )
            found[topology.pipeline] = (target, list(topology.segments))
    return [segment for _, segments in found.values() for segment in segments]


async def _export(
    broker: KafkaBroker, segments: list[Segment], options: ExporterOptions, access: Access
) -> None:
    clock, stopped = SystemClock(), asyncio.Event()
    watch = OutsideWatch(broker, clock, segments, interval_seconds=options.interval_seconds)
    view = ExporterView(watch, OutsideExporter(watch, clock))
    serves = listening(view, port=options.web_port, host=options.web_host, access=access)
    with stop_on_signal(stopped.set, message="Stopping"):
        async with serves, beside(_until(stopped, watch)):
            await stopped.wait()


async def _until(stopped: asyncio.Event, watch: OutsideWatch) -> None:
    """Watch; end the command if that fails."""
    try:
        await watch.run()
    finally:
        stopped.set()
