"""Executes a declared pipeline on JSON lines, for `streamapp pipelines execute`."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import typer

from streamapp.beside import beside
from streamapp.cli.configured import configured
from streamapp.cli.executed import ExecutedStages
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.explained import assembled_or_explained, explanation_lines
from streamapp.cli.input_lines import input_lines
from streamapp.cli.options import STANDARD_INPUT
from streamapp.cli.output import print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.cli.recorded import recorder_of
from streamapp.cli.signals import stop_on_signal
from streamapp.clock import SystemClock
from streamapp.configuration.printable import printable
from streamapp.configuration.told_places import telling_places
from streamapp.errors import ConfigurationError, PipelineError
from streamapp.pipeline.execution.results import ExecutionResult
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.sources import source_index
from streamapp.runs.recorder import RunRecorder
from streamapp.status import PipelineStatus

MOST_FAILURES = 20
"""So many failures are told one by one."""

_CODES = {
    PipelineStatus.SUCCESS: ExitCode.OK,
    PipelineStatus.FAILED: ExitCode.EXECUTION_FAILED,
    PipelineStatus.CANCELLED: ExitCode.EXECUTION_CANCELLED,
}


def execute_lines(
    *,
    name: str,
    config: Path | None,
    given: str,
    source: str | None,
    concurrency: int,
    explain: bool,
    allow_package: list[str] | None,
    output: OutputFormat | None,
) -> None:
    """Run JSON lines through a pipeline in this process, without Kafka.

    Raises:
        ConfigurationError: the file cannot be read, or it is not said as which source.
    """
    file = configured(config, allow_package or ())
    with telling_places(file):
        found = assembled_or_explained(file.configuration, file.path, name, explain=explain)
    if explain:
        for line in explanation_lines(found.choice.explanation):
            typer.echo(line, err=True)
    _check_source(found.pipeline, source)
    stages = ExecutedStages(name, [stage.stage_id for stage in found.pipeline.stages])
    clock = SystemClock()
    recorder = recorder_of(
        f"{file.path}#{name}",
        allow_package or (),
        clock,
        lambda: stages.report(clock.time()),
        command="pipelines execute",
        pipelines=(name,),
    )
    with _opened(given) as stream, recorder.recording():
        execution = _Execution(found.pipeline, source, stages, recorder)
        status = asyncio.run(execution.run(stream, concurrency))
        recorder.begin()  # its agents were open, even if there was no line
        recorder.end(status, stages.error)
    print_report(stages.summary(status), file.configuration.cli_settings, output, err=True)
    raise typer.Exit(_CODES[status])


class _Execution:
    """One command: the pipeline with what is told of its executions."""

    def __init__(
        self,
        pipeline: Pipeline[Any, Any],
        source: str | None,
        stages: ExecutedStages,
        recorder: RunRecorder,
    ) -> None:
        self._pipeline = pipeline
        self._source = source
        self._stages = stages
        self._recorder = recorder
        self._begun: deque[int] = deque()
        self._told = 0

    async def run(self, stream: BinaryIO, concurrency: int) -> PipelineStatus:
        """Execute every line; a signal cancels what is not done."""
        task = asyncio.current_task()
        items = self._values(stream)
        results = self._pipeline.execute_many(items, concurrency=concurrency, source=self._source)
        with stop_on_signal(
            lambda: None if task is None else _cancel(task), message="Cancelling the executions"
        ):
            try:
                async with beside(self._recorder.report_on()), aclosing(results):
                    async for result in results:
                        self._done(result)
            except asyncio.CancelledError:
                return PipelineStatus.CANCELLED
        has_failed = self._stages.executions[PipelineStatus.FAILED] > 0
        return PipelineStatus.FAILED if has_failed else PipelineStatus.SUCCESS

    async def _values(self, stream: BinaryIO) -> AsyncIterator[bytes]:
        async for number, line in input_lines(stream):
            self._begun.append(number)
            yield line

    def _done(self, result: ExecutionResult[Any]) -> None:
        self._recorder.begin()
        number = self._begun.popleft()  # results come in the order of the lines
        self._stages.add(result, time.time())
        for output in result.sinks:
            # A line break in JSON is a space between its words: those in texts are escaped.
            typer.echo((output.data or b"null").replace(b"\n", b" "))
        if result.error is not None and self._told < MOST_FAILURES:
            self._told += 1
            typer.echo(printable(f"line {number}: {result.error}"), err=True)
            if self._told == MOST_FAILURES:
                typer.echo("further failures are only counted", err=True)


def _check_source(pipeline: Pipeline[Any, Any], source: str | None) -> None:
    """Require a source to be named if there are several, since a line could be of each of them.

    Raises:
        PipelineError: none is named, or there is none of this name.
    """
    where = f"pipeline {pipeline.name!r}"
    if source is None and len(pipeline.sources) > 1:
        names = ", ".join(one.name for one in pipeline.sources)
        raise PipelineError(
            f"{where} reads {names}: say with --source TOPIC as which of them the lines are read"
        )
    source_index(where, pipeline.sources, b"", source, argument="--source")


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


@contextmanager
def _opened(given: str) -> Iterator[BinaryIO]:
    """The file that was named, or standard input.

    Raises:
        ConfigurationError: it cannot be read.
    """
    if given == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        file = Path(given).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise ConfigurationError(f"{given}: the file cannot be read: {error.strerror}") from error
    with file:
        yield file
