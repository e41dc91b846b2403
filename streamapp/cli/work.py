"""`streamapp run` in one process: this process is the worker."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack

import typer

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.figures import Figures
from streamapp.cli.kafka import kafka_line, kafka_settings, started_admin
from streamapp.cli.loading import load_topologies, monitoring_of
from streamapp.cli.progress import show_progress, summary_lines
from streamapp.cli.run_options import RunOptions
from streamapp.cli.serving import serving
from streamapp.cli.signals import leave, stop_on_signal
from streamapp.cli.supervised import Supervised
from streamapp.clock import SystemClock
from streamapp.errors import DrainTimeoutError
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.topology import Topology
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service


def work(options: RunOptions, supervised_by: str | None) -> None:
    """Run the stages until they are stopped or have reached the end.

    Args:
        options: options of the command.
        supervised_by: what the supervisor put on the command line; `None` without one.
    """
    supervised = Supervised(supervised_by, options.drain_seconds) if supervised_by else None
    topologies = load_topologies(options.target, options.packages)
    exports_metrics = monitoring_of(options.target, options.packages).enabled
    settings = kafka_settings(options.bootstrap_servers, warn=supervised is None)
    broker = KafkaBroker(settings)
    config = RuntimeConfig(
        shutdown_drain_seconds=options.drain_seconds,
        instance_id=options.instance_id,
        session_timeout_seconds=options.session_seconds,
    )
    service = Service(
        broker, topologies, stages=options.stages, config=config, start_anew=options.yes
    )
    figures = Figures(service.metrics, SystemClock())
    try:
        line = kafka_line(settings)
        asyncio.run(
            _work(
                broker, service, figures, options, supervised, line, exports_metrics=exports_metrics
            )
        )
    finally:
        if any(metrics.state is not StageState.STARTING for metrics in service.metrics):
            say = supervised.say if supervised else typer.echo
            for line in summary_lines(figures.overall(), dict(_dead_letter_topics(topologies))):
                say(line)


async def _work(
    broker: KafkaBroker,
    service: Service,
    figures: Figures,
    options: RunOptions,
    supervised: Supervised | None,
    kafka: str,
    *,
    exports_metrics: bool,
) -> None:
    say: Callable[[str], None] = _silent if supervised else typer.echo
    with stop_on_signal(service.stop, message="Stopping: finishing what is in flight"):
        if supervised is not None:
            supervised.on_drain(service.stop)
        async with started_admin(broker) as admin:
            await service.check(admin)  # before a port is opened
        say(kafka)
        async with AsyncExitStack() as stack:
            port = None
            if options.web_port is not None:
                web = serving(
                    service.metrics,
                    SystemClock(),
                    port=options.web_port,
                    say=say,
                    outlines=service.outlines,
                    exports_metrics=exports_metrics,
                )
                port = (await stack.enter_async_context(web)).port
            if supervised is not None:
                supervised.report_up(port)
            progress = show_progress(
                figures,
                seconds=options.progress_seconds,
                say=supervised.say if supervised else None,
            )
            await stack.enter_async_context(progress)
            try:
                await service.run(until_end=options.until_end)
            except DrainTimeoutError as error:
                leave(
                    ExitCode.DRAIN_TIMEOUT, str(error)
                )  # asyncio.run would wait for the stuck attempts


def _silent(_line: str) -> None:
    """Print nothing: the supervisor prints these lines."""


def _dead_letter_topics(topologies: Iterable[Topology]) -> Iterator[tuple[tuple[str, str], str]]:
    """Pipeline and name of each stage with its dead-letter topic."""
    for topology in topologies:
        for segment in topology.segments:
            for step in segment.steps:
                yield (topology.pipeline, step.stage.stage_id), step.dead_letters
