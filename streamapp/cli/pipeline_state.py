"""How pipelines are: asked of running services, else taken from the records of their runs."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import aiohttp
from pydantic import ValidationError

from streamapp.cli.web_access import web_token
from streamapp.observability.joined_report import joined, unknown
from streamapp.observability.stage_report import StatusReport
from streamapp.runs.record import RunRecord, this_host
from streamapp.status import PipelineStatus

ANSWER_SECONDS = 10.0
"""Longest wait for a service; one whose event loop is blocked does not answer."""

SILENT = "stopped reporting"
"""Status of a run without an end whose process is gone or stands still."""

_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FailedStart:
    """A start of a pipeline that ended before its work began.

    Attributes:
        ended_at: when, in seconds since the epoch.
        status: how it ended.
        error: class of the error that ended it.
    """

    ended_at: float
    status: str
    error: str | None


@dataclass(frozen=True, slots=True)
class PipelineState:
    """A pipeline as it is, or as its last run has left it.

    Attributes:
        pipeline: its name.
        status: of its run; `pending` if it has none; or that it stopped reporting.
        is_live: whether running services have answered; else it is from their records.
        started_at: when the run began, in seconds since the epoch; `None` if not known.
        ended_at: when it ended, if it has.
        error: class of the error that ended it.
        report: its stages, of all its workers together; `None` if its work has never begun.
        failed_start: the latest start after this run that ended before its work began.
    """

    pipeline: str
    status: str
    is_live: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    error: str | None = None
    report: StatusReport | None = None
    failed_start: FailedStart | None = None

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        report = None if self.report is None else self.report.model_dump(mode="json")
        return {
            "pipeline": self.pipeline,
            "status": self.status,
            "is_live": self.is_live,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "error": self.error,
            "report": report,
            "failed_start": None if self.failed_start is None else asdict(self.failed_start),
        }


def served_states(report: StatusReport, pipeline: str | None) -> list[PipelineState]:
    """The pipelines of a service that was asked by its address."""
    names = dict.fromkeys(one.pipeline for one in report.stages)
    return [
        PipelineState(name, PipelineStatus.RUNNING, is_live=True, report=_only(report, name))
        for name in names
        if pipeline in (None, name)
    ]


def states_of(
    records: Iterable[RunRecord], now: float, pipeline: str | None
) -> list[PipelineState]:
    """The latest state of each pipeline, by name.

    Args:
        records: the records of runs, the latest first.
        now: seconds since the epoch.
        pipeline: name of the only pipeline that is asked for; `None` for all.
    """
    by_name: dict[str, list[RunRecord]] = {}
    for record in records:
        for name in record.pipelines:
            if pipeline in (None, name):
                by_name.setdefault(name, []).append(record)
    chosen = {name: _together(own, now) for name, own in sorted(by_name.items())}
    failed = {name: _failed_start(own, chosen[name]) for name, own in by_name.items()}
    running = {r.run_id: r for own in chosen.values() for r in own if r.is_running(now)}
    answers = asyncio.run(_answers(running.values()))
    return [
        replace(_state(name, own, answers, now), failed_start=failed[name])
        for name, own in chosen.items()
    ]


def _headers() -> dict[str, str]:
    """What a service with a token asks for."""
    token = web_token()
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def asked(session: aiohttp.ClientSession, url: str) -> StatusReport | None:
    """What a service says of its stages; `None` if it does not answer as one of ours.

    Raises:
        ConfigurationError: the token of the environment cannot be read.
    """
    headers = await asyncio.to_thread(_headers)  # it may stand in a file
    try:
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            session.get(f"{url.rstrip('/')}/status", headers=headers) as response,
        ):
            return StatusReport.model_validate_json(await response.content.read(_MOST_BYTES))
    except (aiohttp.ClientError, OSError, ValidationError, ValueError):
        return None


async def asked_once(url: str) -> StatusReport | None:
    """The same, with a connection of its own."""
    async with aiohttp.ClientSession() as session:
        return await asked(session, url)


async def _answers(records: Iterable[RunRecord]) -> Mapping[str, StatusReport]:
    """What the running services of this machine say, by the id of their run."""
    near = [(one.run_id, one.web_url) for one in records if one.host == this_host()]
    served = [(run_id, url) for run_id, url in near if url is not None]
    async with aiohttp.ClientSession() as session:
        found = await asyncio.gather(*(asked(session, url) for _, url in served))
    return {run_id: one for (run_id, _), one in zip(served, found, strict=True) if one is not None}


def _together(own: Sequence[RunRecord], now: float) -> list[RunRecord]:
    """All runs that go on; without any, the latest run with the others of its supervisor.

    Those whose work never began count only if there are no others: they hide none that did work.
    """
    if running := [one for one in own if one.is_running(now)]:
        return running
    own = [one for one in own if not one.never_began] or own[:1]
    latest = own[0]
    if latest.supervisor is None:
        return [latest]
    beside: dict[int | None, RunRecord] = {}
    for one in own:
        if (one.supervisor, one.host) == (latest.supervisor, latest.host):
            beside.setdefault(one.worker, one)  # of a worker that was restarted, the last run
    return list(beside.values())


def _failed_start(own: Sequence[RunRecord], chosen: Sequence[RunRecord]) -> FailedStart | None:
    """The latest start whose work never began, if it came after what is shown."""
    latest = next((one for one in own if one.never_began), None)
    shown = max(one.started_at for one in chosen)
    if latest is None or latest.ended_at is None or latest.started_at <= shown:
        return None
    return FailedStart(latest.ended_at, latest.status, latest.error)


def _state(
    name: str, own: Sequence[RunRecord], answers: Mapping[str, StatusReport], now: float
) -> PipelineState:
    begun = [one for one in own if not one.never_began]
    reports = [answers.get(one.run_id) or _saved(one, now) for one in begun]
    report = joined(_only(one, name) for one in reports) if begun else None
    all_ends = [one.end_of(name) for one in own]
    end = next((one for one in all_ends if one.status is PipelineStatus.FAILED), all_ends[0])
    is_silent = any(one.is_silent(now) for one in own)
    ends = [one.ended_at for one in own]
    return PipelineState(
        name,
        SILENT if is_silent else end.status,
        is_live=all(one.run_id in answers for one in own),
        started_at=min(one.started_at for one in own),
        ended_at=None if None in ends else max(end for end in ends if end is not None),
        error=end.error,
        report=report,
    )


def _saved(record: RunRecord, now: float) -> StatusReport:
    """What the record of a run says; of one that stopped reporting, how it is now is not known."""
    stages = record.stages
    if record.is_silent(now):
        stages = tuple(unknown(one, SILENT) for one in stages)
    return StatusReport(at=record.reported_at, stages=stages, chains=record.chains)


def _only(report: StatusReport, pipeline: str) -> StatusReport:
    """What a report says of one pipeline."""
    return report.model_copy(
        update={
            "stages": tuple(one for one in report.stages if one.pipeline == pipeline),
            "chains": tuple(one for one in report.chains if one.get("pipeline") == pipeline),
        }
    )
