"""Prints how far stages are behind, and why, for `streamapp lag`."""

import asyncio
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from streamapp.cli.configured import configured
from streamapp.cli.finding_text import finding_lines
from streamapp.cli.kafka import kafka_broker, started_admin
from streamapp.cli.output import Report, chosen_format, print_json, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.cli.pipeline_state import SILENT, PipelineState
from streamapp.cli.shown_status import asked_states
from streamapp.configuration.printable import printable
from streamapp.errors import BrokerError, ConfigurationError
from streamapp.observability.causes import Cause
from streamapp.observability.findings_report import FindingReport, finding_report
from streamapp.observability.logs import configure_logging
from streamapp.registry.nearest import did_you_mean
from streamapp.runtime.group_lag import TopicLag, group_lags
from streamapp.status import PipelineStatus

HEADINGS = ("group", "topic", "partitions", "behind", "furthest", "deleted unread", "members")
VERSION = 1


def print_lag(
    *,
    pipeline: str | None,
    config: Path | None,
    why: bool,
    web_url: str | None,
    bootstrap_servers: str | None,
    output: OutputFormat | None,
) -> None:
    """Show how far every stage is behind the end of its topics, and what is wrong with it."""
    configure_logging("WARNING")
    file = configured(config)
    states = asked_states(config, pipeline, web_url) if why else []
    settings = file.configuration.cli_settings
    is_json = chosen_format(settings, output) is OutputFormat.JSON
    try:
        lags = asyncio.run(_lags(bootstrap_servers, pipeline))
    except BrokerError:
        # Why Kafka does not answer is asked just then: the services still tell what they know.
        if why:
            _print_without_kafka(states, is_json=is_json)
        raise
    if pipeline is not None and not lags and not states:
        _refuse_unknown(pipeline, file.configuration.data_pipelines, bootstrap_servers)
    if is_json:
        found = {"version": VERSION, "groups": [asdict(one) for one in lags]}
        print_json(found | ({"findings": _findings_data(lags, states)} if why else {}))
        return
    nothing = "No stage has committed an offset."
    print_report(Report(None, HEADINGS, [_row(one) for one in lags], nothing), settings, output)
    for line in _why(lags, states) if why else ():
        typer.echo(printable(line))


def _print_without_kafka(states: Sequence[PipelineState], *, is_json: bool) -> None:
    """Print what services say while Kafka does not answer; how far they are behind is not known."""
    if is_json:
        print_json({"version": VERSION, "groups": None, "findings": _findings_data([], states)})
    else:
        for line in _told([], states):
            typer.echo(printable(line))


def _refuse_unknown(
    pipeline: str, declared: Collection[str], bootstrap_servers: str | None
) -> None:
    """Refuse a name of which neither Kafka nor the file knows anything."""
    if pipeline in declared:
        return
    groups = {one.group for one in asyncio.run(_lags(bootstrap_servers, None))}
    near = did_you_mean(pipeline, {*declared, *(group.rpartition(".")[0] for group in groups)})
    raise ConfigurationError(
        f"no stage of a pipeline {pipeline!r} has committed an offset, and none is declared; {near}"
    )


async def _lags(bootstrap_servers: str | None, pipeline: str | None) -> Sequence[TopicLag]:
    async with started_admin(kafka_broker(bootstrap_servers)) as admin:
        return await group_lags(admin, pipeline)


def _row(lag: TopicLag) -> tuple[str, ...]:
    partition, behind = lag.furthest
    return (
        lag.group,
        lag.topic,
        f"{lag.partitions:,}" + (f" ({lag.never_read:,} never read)" if lag.never_read else ""),
        f"{lag.behind:,}",
        f"[{partition}] {behind:,}" if behind else "-",
        f"{lag.gone:,}" if lag.gone else "-",
        f"{lag.members:,}",
    )


def _why(lags: Sequence[TopicLag], states: Sequence[PipelineState]) -> Iterator[str]:
    """What is wrong, with the workers and with each stage; and that nothing is."""
    told = list(_told(lags, states))
    yield from told
    if not told:
        yield "Nothing is wrong with what runs." if states else "No service was asked."


def _told(lags: Sequence[TopicLag], states: Sequence[PipelineState]) -> Iterator[str]:
    now = time.time()
    for who, findings in _findings(lags, states):
        yield from finding_lines(who, findings, now)


def _findings(
    lags: Sequence[TopicLag], states: Sequence[PipelineState]
) -> Iterator[tuple[str, Sequence[FindingReport]]]:
    for state in states:
        if state.status == SILENT:
            told = "its service has stopped reporting: it stands still, or is gone"
            yield state.pipeline, [finding_report(Cause.WORKER_SILENT, told, command="")]
            continue
        if state.status == PipelineStatus.FAILED:
            by = "" if state.error is None else f" by {state.error}"
            told = f"its last run has ended by a failure{by}"
            yield (
                state.pipeline,
                [finding_report(Cause.STAGE_FAILED, told, command="", since=state.ended_at)],
            )
            continue
        if state.report is None or state.status != PipelineStatus.RUNNING:
            continue
        yield state.pipeline, state.report.findings
        for stage in state.report.stages:
            yield f"{state.pipeline}.{stage.stage}", stage.findings
    for group in dict.fromkeys(one.group for one in lags):
        own = [one for one in lags if one.group == group]
        behind = sum(one.behind for one in own)
        if behind and not any(one.members for one in own):
            # Markers of transactions take offsets, too; only who reads them can tell.
            told = f"no worker reads, and up to {behind:,} records wait"
            yield group, [finding_report(Cause.NOT_RUNNING, told, command="")]


def _findings_data(
    lags: Sequence[TopicLag], states: Sequence[PipelineState]
) -> list[dict[str, Any]]:
    return [{"of": who, **one.model_dump()} for who, own in _findings(lags, states) for one in own]
