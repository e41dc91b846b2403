"""The web pages of a supervisor: metrics, health and status of all its workers."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from streamapp.clock import Clock
from streamapp.observability.findings_report import joined_findings
from streamapp.observability.health import Health
from streamapp.observability.joined_report import joined
from streamapp.observability.silent_report import silent
from streamapp.observability.stage_report import StatusReport, WorkerReport
from streamapp.supervisor.answers import WorkersPort
from streamapp.supervisor.exposition import ACCEPT, join_families, parse_families, worker_families
from streamapp.supervisor.findings import worker_findings
from streamapp.supervisor.slot import Slot, SlotState
from streamapp.version import VERSION
from streamapp.web.server import Handler, exposition, html, json

ANSWER_SECONDS = 0.8
"""Longest wait for a worker's answer; probes wait a second by default."""

POLL_SECONDS = 5.0
"""Time between two polls of the workers, so that what they said last is known of each."""

POLL_ANSWER_SECONDS = 3.0
"""Longest wait for an answer to a poll; nobody waits for the poll."""

MAX_SCRAPE_SECONDS = 5.0
_SCRAPE_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
SILENT = "silent"
"""State of a worker that is up and does not answer."""

_SILENT = Health(ok=False, reason="does not answer")


class WorkersView:
    """The pages of a supervisor.

    Args:
        slots: the workers.
        port: requests the pages of the workers.
        clock: the clock of the slots.
    """

    def __init__(self, slots: Sequence[Slot], port: WorkersPort, clock: Clock) -> None:
        self._slots = slots
        self._port = port
        self._clock = clock
        self._known: dict[int, StatusReport] = {}
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def handlers(self) -> Mapping[str, Handler]:
        """The same pages that one worker has, for all workers."""
        return {
            "/": self._index,
            "/status": self._status,
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/livez": self._livez,
            "/readyz": self._readyz,
        }

    async def watch(self) -> None:
        """Poll the workers until cancelled."""
        while True:
            await self.poll()
            await self._clock.sleep(POLL_SECONDS)

    async def poll(self) -> None:
        """Ask each worker how it does, and count who does not answer."""
        asked = [(slot, slot.process) for slot in self._slots if slot.state is SlotState.UP]
        answered = await self._ask(POLL_ANSWER_SECONDS)
        for slot, process in asked:
            if slot.number not in answered and slot.process is process:
                slot.missed_polls += 1

    async def _ask(self, seconds: float) -> Mapping[int, StatusReport]:
        """What those workers say that answer in time; it is kept until they say something else."""
        answers = await self._port.request("/status", seconds=seconds)
        reports = await asyncio.to_thread(_parsed, answers)
        self._note_answers(reports, self._clock.monotonic())
        up = {slot.number for slot in self._slots if slot.state is SlotState.UP}
        self._known = {n: one for n, one in {**self._known, **reports}.items() if n in up}
        return reports

    async def _metrics(self, request: web.Request) -> web.Response:
        seconds = _scrape_seconds(request.headers.get(_SCRAPE_TIMEOUT_HEADER))
        answers = await self._port.request("/metrics", seconds=seconds, accept=ACCEPT)
        return exposition(
            *await asyncio.to_thread(self._join, answers, request.headers.get("Accept", ""))
        )

    def _join(self, answers: Mapping[int, bytes], accept: str) -> tuple[bytes, str]:
        """Join the metrics of all workers; one whose answer cannot be parsed has not answered."""
        by_worker: dict[int, list[Metric]] = {}
        for number, body in answers.items():
            with suppress(ValueError):
                by_worker[number] = parse_families(body.decode())
        now = self._clock.monotonic()
        self._note_answers(by_worker, now)
        own = (*worker_families(self._slots, by_worker, now), *self._registry.collect())
        encode, content_type = choose_encoder(accept)
        return encode(_Families(join_families(by_worker, own))), content_type

    async def _healthz(self, _: web.Request) -> web.Response:
        answers = await self._stages("/healthz")
        now = self._clock.monotonic()
        return _verdict({slot: _health(slot, now, answers) for slot in self._slots}, answers)

    async def _livez(self, _: web.Request) -> web.Response:
        """Always 200: this process restarts workers that end, so a restart of it would not help."""
        now = self._clock.monotonic()
        workers = {slot: Health(ok=True, reason=slot.health(now).reason) for slot in self._slots}
        return _verdict(workers, {})

    async def _readyz(self, _: web.Request) -> web.Response:
        answers = await self._stages("/readyz")
        now = self._clock.monotonic()

        def ready(slot: Slot) -> Health:
            health = _health(slot, now, answers)
            return Health(health.ok and slot.state is SlotState.UP, health.reason)

        return _verdict({slot: ready(slot) for slot in self._slots}, answers)

    async def _index(self, request: web.Request) -> web.Response:
        return await html(await self._report(), request)

    async def _status(self, _: web.Request) -> web.Response:
        return json((await self._report()).model_dump(mode="json"), ok=True)

    async def _report(self) -> StatusReport:
        """The same that one worker says, of all workers together."""
        answered = await self._ask(ANSWER_SECONDS)
        wall, now = self._clock.time(), self._clock.monotonic()
        silent_numbers = {slot.number for slot in self._slots if slot.does_not_answer} - {*answered}
        # What a worker that answers late has said last is as good as its answer.
        reports = {n: one for n, one in self._known.items() if n not in silent_numbers}
        expected = sum(slot.state is not SlotState.ENDED for slot in self._slots)
        silent_workers = max(0, expected - len(reports))
        ill = joined_findings([worker_findings(self._slots, now, wall - now)])
        crew = tuple(_worker(slot, _health(slot, now, answered)) for slot in self._slots)
        lost = [silent(one, wall) for n, one in self._known.items() if n in silent_numbers]
        known = [*reports.values(), *lost]
        return joined(known, silent_workers=silent_workers).model_copy(
            update={
                "at": wall,
                "workers": len(reports),
                "findings": ill,
                "crew": crew,
                "streamapp": VERSION,
            }
        )

    def _note_answers(self, answers: Collection[int], now: float) -> None:
        for slot in self._slots:
            if slot.number in answers:
                slot.set_answered(now)

    async def _stages(self, path: str) -> Mapping[int, list[dict[str, Any]]]:
        """Health of the stages, by worker."""
        return await self._request_lists(path, lambda answer: answer["stages"])

    async def _request_lists(
        self, path: str, read: Callable[[Any], list[dict[str, Any]]]
    ) -> Mapping[int, list[dict[str, Any]]]:
        answers = await self._port.request(path, seconds=ANSWER_SECONDS)
        found = {}
        for number, body in answers.items():
            with suppress(ValueError, KeyError, TypeError):
                found[number] = read(orjson.loads(body))
        self._note_answers(found, self._clock.monotonic())
        return found


def _parsed(answers: Mapping[int, bytes]) -> Mapping[int, StatusReport]:
    """The reports by worker, without what is none."""
    reports: dict[int, StatusReport] = {}
    for number, body in answers.items():
        with suppress(ValueError):
            reports[number] = StatusReport.model_validate_json(body).of_worker(str(number))
    return reports


class _Families:
    """Metric families in the form that prometheus_client encodes: a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _scrape_seconds(timeout: str | None) -> float:
    """A part of the timeout that Prometheus sends; the rest is for joining what workers say."""
    try:
        return min(MAX_SCRAPE_SECONDS, 0.6 * float(timeout or ""))
    except ValueError:
        return ANSWER_SECONDS


def _health(slot: Slot, now: float, answers: Mapping[int, object]) -> Health:
    """Health of a worker, without that of its stages."""
    if slot.does_not_answer and slot.number not in answers:
        return _SILENT
    return slot.health(now)


def _verdict(
    workers: Mapping[Slot, Health], answers: Mapping[int, list[dict[str, Any]]]
) -> web.Response:
    """200 if every worker and stage is healthy, else 503; the body lists them all."""
    stages = [
        {"worker": str(number), **stage} for number, own in sorted(answers.items()) for stage in own
    ]
    ok = all(health.ok for health in workers.values()) and all(stage["ok"] for stage in stages)
    listed = [
        {"worker": str(slot.number), "ok": health.ok, "reason": health.reason}
        for slot, health in workers.items()
    ]
    return json({"ok": ok, "workers": listed, "stages": stages}, ok=ok)


def _worker(slot: Slot, health: Health) -> WorkerReport:
    is_silent = health is _SILENT
    return WorkerReport(
        worker=str(slot.number),
        state=SILENT if is_silent else slot.state.value,
        ok=None if is_silent else health.ok,
        reason=health.reason,
        restarts=slot.restarts.count,
        process=None if slot.process is None else slot.process.pid,
    )
