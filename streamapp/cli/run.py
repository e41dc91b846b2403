"""`streamapp run`: the stages of a pipeline at work on Kafka."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Annotated

import typer

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Broker
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.figures import Figures
from streamapp.cli.kafka import kafka_line, kafka_settings, started_admin
from streamapp.cli.loading import load_pipeline
from streamapp.cli.options import (
    BootstrapServersOption,
    LogFormatOption,
    LogLevelOption,
    ProgressSecondsOption,
    TargetArgument,
)
from streamapp.cli.progress import showing, summary_lines
from streamapp.cli.serving import DEFAULT_PORT, PORT_VARIABLE, serving
from streamapp.cli.signals import leave, stop_on_signal
from streamapp.clock import SystemClock
from streamapp.errors import DrainTimeoutError
from streamapp.observability.logs import LogFormat, configure_logging
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.topology import Topology, build
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service


def run(
    target: TargetArgument,
    *,
    bootstrap_servers: BootstrapServersOption = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="Run this stage only; repeatable. Others run in other workers."),
    ] = None,
    until_end: Annotated[
        bool,
        typer.Option("--until-end", help="Work up to the records that are there now, then end."),
    ] = False,
    web_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            envvar=PORT_VARIABLE,
            help="Port of metrics, health and status on 127.0.0.1; 0 is any.",
        ),
    ] = DEFAULT_PORT,
    no_web: Annotated[
        bool, typer.Option("--no-web", help="Serve no metrics, health and status.")
    ] = False,
    log_level: LogLevelOption = "INFO",
    log_format: LogFormatOption = LogFormat.PLAIN,
    progress_seconds: ProgressSecondsOption = 10.0,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="How long work in flight may take to finish when stopped."),
    ] = RuntimeConfig().shutdown_drain_seconds,
) -> None:
    """Run a pipeline on Kafka until it is stopped.

    SIGTERM or Ctrl-C finishes what is in flight, commits and ends with 0.
    """
    configure_logging(log_level, log_format)
    topology = build(load_pipeline(target))
    settings = kafka_settings(bootstrap_servers)
    broker = KafkaBroker(settings)
    config = RuntimeConfig(shutdown_drain_seconds=drain_seconds)
    service = Service(broker, [topology], stages=stage or (), config=config)
    asyncio.run(
        _run(
            broker,
            service,
            kafka=kafka_line(settings),
            dead_letter_topics=dict(_dead_letter_topics(topology)),
            web_port=None if no_web else web_port,
            until_end=until_end,
            progress_seconds=progress_seconds,
        )
    )


async def _run(
    broker: Broker,
    service: Service,
    *,
    kafka: str,
    dead_letter_topics: Mapping[str, str],
    web_port: int | None,
    until_end: bool,
    progress_seconds: float,
) -> None:
    clock = SystemClock()
    figures = Figures(service.metrics, clock)
    try:
        with stop_on_signal(service.stop, saying="Stopping: finishing what is in flight"):
            async with started_admin(broker) as admin:
                await service.check(admin)  # before a port is taken: nothing half started
            typer.echo(kafka)
            async with AsyncExitStack() as stack:
                if web_port is not None:
                    await stack.enter_async_context(serving(service.metrics, clock, port=web_port))
                await stack.enter_async_context(showing(figures, seconds=progress_seconds))
                try:
                    await service.run(until_end=until_end)
                except DrainTimeoutError as error:
                    leave(ExitCode.DRAIN_TIMEOUT, str(error))  # asyncio.run would wait for them
    finally:
        if any(metrics.state is not StageState.STARTING for metrics in service.metrics):
            for line in summary_lines(figures.overall(), dead_letter_topics):
                typer.echo(line)


def _dead_letter_topics(topology: Topology) -> Iterator[tuple[str, str]]:
    """Name of each stage with that of its dead-letter topic."""
    for segment in topology.segments:
        for step in segment.steps:
            yield step.stage.stage_id, step.dead_letters
