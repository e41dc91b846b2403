"""`streamapp run` in one process: this process is the worker."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from streamapp.beside import beside
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.figures import Figures
from streamapp.cli.kafka import kafka_line, kafka_settings, started_admin
from streamapp.cli.loading import monitoring_of
from streamapp.cli.progress import show_progress, summary_lines
from streamapp.cli.recorded import recorder_of
from streamapp.cli.run_options import RunOptions
from streamapp.cli.runnable import load_runnable
from streamapp.cli.say import say as say_line
from streamapp.cli.signals import leave, stop_on_signal
from streamapp.cli.supervised import Supervised
from streamapp.cli.tracing import traces_from_environment
from streamapp.cli.web_access import web_access
from streamapp.clock import SystemClock
from streamapp.errors import DrainTimeoutError, MissingTopicsError
from streamapp.native_leaves import SELECTED
from streamapp.observability.exemplars import Exemplars
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.topology import Topology
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.status import PipelineStatus
from streamapp.web.access import Access
from streamapp.web.status import StatusReporter


def work(options: RunOptions, supervised_by: str | None) -> None:
    """Run the stages until they are stopped or have reached the end.

    Args:
        options: options of the command.
        supervised_by: what the supervisor put on the command line; `None` without one.
    """
    supervised = Supervised(supervised_by, options.drain_seconds) if supervised_by else None
    access = web_access(options)
    runnable = load_runnable(options.target, options.packages)
    exports_metrics = monitoring_of(options.target, options.packages).enabled
    settings = kafka_settings(options.bootstrap_servers)
    broker = KafkaBroker(settings)
    config = RuntimeConfig(
        shutdown_drain_seconds=options.drain_seconds,
        instance_id=options.instance_id,
        session_timeout_seconds=options.session_seconds,
        stall_after_seconds=options.stall_seconds,
    )
    exemplars = Exemplars()
    with traces_from_environment(exemplars) as traces:
        service = Service(
            broker,
            runnable.topologies,
            stages=options.stages,
            config=config,
            start_anew=options.yes,
            reassembly=runnable.reassembly,
            bundle=runnable.bundle,
            middleware=traces,
        )
        worker = _Worker(broker, service, options, supervised, access, exemplars)
        try:
            with worker.recorder.recording(worker.was_cut_short):
                asyncio.run(worker.run(kafka_line(settings), exports_metrics=exports_metrics))
        finally:
            if any(metrics.state is not StageState.STARTING for metrics in service.metrics):
                topics = dict(_dead_letter_topics(service.topologies))
                for line in summary_lines(worker.figures.overall(), topics):
                    worker.say(line)


class _Worker:
    """This process: a service with its web server, its record and what it prints.

    Attributes:
        figures: what it shows of its stages.
        recorder: what keeps the record of this run.
        say: prints a line.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        service: Service,
        options: RunOptions,
        supervised: Supervised | None,
        access: Access | None,
        exemplars: Exemplars,
    ) -> None:
        clock = SystemClock()
        self.figures = Figures(service.metrics, clock)
        self.recorder = recorder_of(
            options.target,
            options.packages,
            clock,
            StatusReporter(lambda: service.metrics, clock, chains=self._chains).report,
            lambda: service.failed,
            command="run",
            pipelines=tuple(dict.fromkeys(one.pipeline for one in service.metrics)),
            supervisor=None if supervised is None else os.getppid(),
            worker=None if supervised is None else supervised.number,
            instance_id=options.instance_id,
        )
        self.say: Callable[[str], None] = say_line if supervised is None else supervised.say
        self._broker = broker
        self._service = service
        self._options = options
        self._supervised = supervised
        self._access = access
        self._exemplars = exemplars
        self._was_stopped = False
        self._web_port: int | None = None

    def was_cut_short(self) -> bool:
        """Whether it was stopped before the end that it was to run to."""
        return self._options.until_end and self._was_stopped

    async def run(self, kafka: str, *, exports_metrics: bool) -> None:
        """Run the service until it is stopped or has reached the end."""
        say: Callable[[str], None] = say_line if self._supervised is None else _silent
        with stop_on_signal(self._stop, message="Stopping: finishing what is in flight"):
            if self._supervised is not None:
                self._supervised.on_drain(self._stop)
            async with started_admin(self._broker) as admin:
                with self._naming_command():
                    await self._service.check(admin)  # before a port is opened
            say(kafka)
            say(f"Runs     {SELECTED.sentence}")
            async with AsyncExitStack() as stack:
                if self._options.web_port is not None:
                    web = self._serving(
                        self._options.web_port, say, exports_metrics=exports_metrics
                    )
                    await stack.enter_async_context(web)
                progress = show_progress(
                    self.figures,
                    seconds=self._options.progress_seconds,
                    say=None if self._supervised is None else self.say,
                )
                await stack.enter_async_context(progress)
                await stack.enter_async_context(beside(self.recorder.report_on()))
                if self._supervised is not None:
                    await stack.enter_async_context(beside(self._supervised.show_life()))
                await self._run_service()

    @asynccontextmanager
    async def _serving(
        self, port: int, say: Callable[[str], None], *, exports_metrics: bool
    ) -> AsyncIterator[None]:
        """Serve metrics, health and status, and tell where."""
        from streamapp.cli.serving import serving  # aiohttp takes long; --no-web needs none

        async with serving(
            self._service.metrics,
            SystemClock(),
            port=port,
            say=say,
            outlines=self._service.outlines,
            exports_metrics=exports_metrics,
            chains=self._chains,
            host=self._options.web_host,
            access=self._access,
            exemplars=self._exemplars,
        ) as server:
            self.recorder.about["web_url"] = server.url
            self._web_port = server.port
            yield

    async def _run_service(self) -> None:
        try:
            with self._naming_command():
                await self._service.run(until_end=self._options.until_end, on_open=self._begin)
        except DrainTimeoutError as error:
            self.recorder.end(PipelineStatus.FAILED, type(error).__qualname__)
            # asyncio.run would wait for the stuck attempts
            leave(ExitCode.DRAIN_TIMEOUT, str(error))

    @contextmanager
    def _naming_command(self) -> Iterator[None]:
        """Say of missing topics which command creates those of the target."""
        try:
            yield
        except MissingTopicsError as error:
            raise MissingTopicsError(error.names, self._options.topics_command) from error

    def _begin(self) -> None:
        self.recorder.begin()
        if self._supervised is not None:
            self._supervised.report_up(self._web_port)

    def _chains(self) -> list[dict[str, Any]]:
        return [chain.as_json() for chain in self._service.chains]

    def _stop(self) -> None:
        self._was_stopped = True
        self._service.stop()


def _silent(_line: str) -> None:
    """Print nothing: the supervisor prints these lines."""


def _dead_letter_topics(topologies: Iterable[Topology]) -> Iterator[tuple[tuple[str, str], str]]:
    """Pipeline and name of each stage with its dead-letter topic."""
    for topology in topologies:
        for segment in topology.segments:
            for step in segment.steps:
                yield (topology.pipeline, step.stage.stage_id), step.dead_letters
