"""Several workers seen as one, asked over HTTP as their supervisor does."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamapp import Pipeline, Topic, agent
from streamapp.observability.exporter import MetricsExporter
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.stage_metrics import (
    BreakerState,
    MemberState,
    StageMetrics,
    StageState,
)
from streamapp.observability.stage_report import StatusReport
from streamapp.pipeline.outline import outline_of
from streamapp.pipeline.topology import build
from streamapp.record import TopicPartition
from streamapp.supervisor import view
from streamapp.supervisor.answers import WorkersPort
from streamapp.supervisor.restarts import RestartPolicy, Restarts
from streamapp.supervisor.slot import MISSED_POLLS, SLOW_START_SECONDS, Slot, SlotState
from streamapp.supervisor.view import WorkersView
from streamapp.web.access import Access
from streamapp.web.server import WebServer, WorkerView
from tests.hand_clock import HandClock
from tests.unit.web.shown import Shown


@agent
def validate(value: int) -> int:
    return value


OUTLINE = outline_of(
    build(Pipeline("playback", source=Topic("raw", int)).stage(validate).sink("valid"))
)


class Process:
    """A worker process, as far as the page shows it."""

    pid = 4711

    async def up(self) -> int | None:
        raise NotImplementedError

    async def beat(self) -> None:
        raise NotImplementedError

    async def ended(self) -> int:
        raise NotImplementedError

    def drain(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError


class Crew:
    """Workers that are web servers of this process, and the supervisor's server before them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.clock = HandClock()
        self.slots: list[Slot] = []
        self.metrics: list[StageMetrics] = []
        self._stack = stack
        self._port = WorkersPort(self.slots)
        stack.push_async_callback(self._port.close)
        self.view = WorkersView(self.slots, self._port, self.clock)
        self.server = WebServer(self.view)

    def slot(self) -> Slot:
        """A worker that was started."""
        slot = Slot(len(self.slots), Restarts(RestartPolicy(), random.Random(1)))
        slot.set_starting(Process(), self.clock.monotonic())
        self.slots.append(slot)
        return slot

    async def worker(self) -> Slot:
        """A worker that runs one stage."""
        metrics = StageMetrics("playback", "validate", "raw")
        metrics.state = StageState.RUNNING
        metrics.rebalances = 1
        metrics.last_progress_at = self.clock.monotonic()
        metrics.partitions[TopicPartition("raw", len(self.slots))] = PartitionMetrics(lag_records=0)
        exporter = MetricsExporter(self.clock)
        exporter.stages.add(metrics)
        view = WorkerView(lambda: [metrics], exporter.render, self.clock, outlines=[OUTLINE])
        server = WebServer(view)
        await server.start()
        self._stack.push_async_callback(server.stop)
        self.metrics.append(metrics)
        slot = self.slot()
        slot.set_up(server.port, self.clock.monotonic())
        return slot

    async def answering(self, answer: bytes | None) -> Slot:
        """A worker that answers this, whatever it is asked, or nothing at all."""
        silence = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await silence.wait()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer or b'')}\r\n\r\n"
            writer.write(head.encode() + (answer or b""))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._stack.callback(server.close)
        self._stack.callback(silence.set)
        slot = self.slot()
        slot.set_up(server.sockets[0].getsockname()[1], self.clock.monotonic())
        return slot

    async def polls(self, times: int = MISSED_POLLS) -> None:
        """Let the supervisor poll its workers so often."""
        for _ in range(times):
            await self.view.poll()

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession(self.server.url) as session,
            session.get(path) as response,
        ):
            return response.status, await response.text()

    async def verdict(self, path: str) -> tuple[int, dict[str, object]]:
        async with (
            aiohttp.ClientSession(self.server.url) as session,
            session.get(path) as response,
        ):
            return response.status, await response.json()

    async def series(self, name: str) -> dict[str, float]:
        """Values of a metric by worker."""
        _, text = await self.get("/metrics")
        return {
            sample.labels["worker"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }


@pytest.fixture
async def crew(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crew]:
    # Workers that answer share this process: on a loaded machine they need more than the usual.
    monkeypatch.setattr(view, "ANSWER_SECONDS", 1.5)
    monkeypatch.setattr(view, "POLL_ANSWER_SECONDS", 1.5)
    async with started() as crew:
        yield crew


@asynccontextmanager
async def started() -> AsyncIterator[Crew]:
    async with AsyncExitStack() as stack:
        crew = Crew(stack)
        await crew.server.start()
        stack.push_async_callback(crew.server.stop)
        yield crew


async def test_all_are_well_when_each_is(crew: Crew) -> None:
    await crew.worker()
    await crew.worker()
    for path in ("/healthz", "/readyz"):
        status, body = await crew.verdict(path)
        assert status == 200
        assert body["ok"] is True
        stages = body["stages"]
        assert isinstance(stages, list)
        assert [stage["worker"] for stage in stages] == ["0", "1"]


async def test_health_names_the_worker_and_the_stage_that_stalls(crew: Crew) -> None:
    await crew.worker()
    await crew.worker()
    crew.metrics[1].partitions[TopicPartition("raw", 1)].lag_records = 9
    crew.clock.advance(60)
    status, body = await crew.verdict("/healthz")
    assert status == 503
    stages = body["stages"]
    assert isinstance(stages, list)
    assert [(s["worker"], s["ok"]) for s in stages] == [("0", True), ("1", False)]
    assert stages[1]["reason"] == "lag of 9 records and no progress for 60 s"


@pytest.mark.parametrize("answer", [None, b"no such thing"], ids=["silence", "nonsense"])
async def test_one_that_does_not_answer_is_down_and_hides_no_other(
    crew: Crew, answer: bytes | None
) -> None:
    await crew.worker()
    crew.metrics[0].records_in = crew.metrics[0].received["raw"].records = 42
    slot = await crew.answering(answer)
    slot.missed_polls = MISSED_POLLS
    assert await crew.series("streamapp_worker_up") == {"0": 1, "1": 0}
    assert await crew.series("streamapp_received_records_total") == {"0": 42}
    for path in ("/healthz", "/readyz"):
        status, body = await crew.verdict(path)
        assert status == 503
        assert body["workers"] == [
            {"worker": "0", "ok": True, "reason": "up for 0 s"},
            {"worker": "1", "ok": False, "reason": "does not answer"},
        ]
    status, html = await crew.get("/")
    page = Shown(html)
    assert status == 200
    assert "worker silent worker 1 does not answer, process 4711" in page.text()
    assert page.text("headline").endswith("1 worker does not answer")
    assert page.row("playback-validate")["taken in"] == "42"


async def test_one_that_waits_for_its_start_is_told_with_how_it_ended(crew: Crew) -> None:
    await crew.worker()
    slot = await crew.worker()
    slot.restarts.decide(-9, ran_seconds=1, any_was_up=True)
    slot.set_ended(-9, crew.clock.monotonic())
    slot.set_waiting(crew.clock.monotonic() + 4)
    status, body = await crew.verdict("/healthz")
    assert status == 503
    workers = body["workers"]
    assert isinstance(workers, list)
    assert workers[1]["reason"] == "was killed by SIGKILL, starts again in 4 s"
    assert await crew.series("streamapp_worker_up") == {"0": 1, "1": 0}
    assert await crew.series("streamapp_worker_restarts_total") == {"0": 0, "1": 1}


async def test_one_that_starts_is_well_for_a_while_but_not_ready(crew: Crew) -> None:
    await crew.worker()
    crew.slot()
    assert (await crew.verdict("/healthz"))[0] == 200
    assert (await crew.verdict("/readyz"))[0] == 503
    crew.clock.advance(SLOW_START_SECONDS)
    assert (await crew.verdict("/healthz"))[0] == 503


async def test_one_at_the_end_of_bounded_work_is_well(crew: Crew) -> None:
    await crew.worker()
    slot = await crew.worker()
    slot.set_ended(0, crew.clock.monotonic())
    assert slot.state is SlotState.ENDED
    assert (await crew.verdict("/healthz"))[0] == 200


async def test_the_page_has_a_row_for_each_stage_with_its_workers_below(crew: Crew) -> None:
    await crew.worker()
    await crew.worker()
    crew.metrics[0].records_in, crew.metrics[1].records_in = 1234, 5678
    status, html = await crew.get("/")
    page = Shown(html)
    assert status == 200
    assert page.text("headline") == "The stage is well in 2 workers"
    assert page.row("playback-validate")["taken in"] == "6,912"
    taken = [one["taken in"] for one in page.rows("worker") if "taken in" in one]
    assert taken == ["1,234", "5,678"]
    assert [one["process"] for one in page.rows("worker") if "process" in one] == ["4711", "4711"]
    assert page.text().count("playback.validate.dlq dead letters") == 1


async def test_the_page_tells_of_the_members_of_pools_in_each_worker(crew: Crew) -> None:
    await crew.worker()
    await crew.worker()
    member = MemberState("fast", 0, 8, BreakerState.HALF_OPEN, 0.1, calls=7, failures=7)
    crew.metrics[1].pools = {"score": lambda _now: [member]}
    _, html = await crew.get("/")
    [row] = Shown(html).rows("fast")
    assert (row["pool"], row["worker"], row["breaker"]) == ("score", "1", "tried with a call")


async def test_every_series_of_a_worker_is_labelled_and_the_supervisors_own_are_not(
    crew: Crew,
) -> None:
    await crew.worker()
    _, text = await crew.get("/metrics")
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    ours = [s for s in samples if s.name.startswith("streamapp_")]
    assert {s.labels.get("worker") for s in ours} == {"0"}
    memory = [s.labels for s in samples if s.name == "process_resident_memory_bytes"]
    assert memory == [{"worker": "0"}, {}]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("1", 0.6),
        ("5", 3.0),
        ("10", view.MAX_SCRAPE_SECONDS),
        (None, None),  # as long as a probe waits
        ("soon", None),
    ],
)
async def test_workers_have_more_than_half_of_the_time_that_a_scrape_waits(
    crew: Crew, told: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def request(
        _port: WorkersPort, path: str, *, seconds: float, accept: str = ""
    ) -> dict[int, bytes]:
        del path, accept
        waited.append(seconds)
        return {}

    monkeypatch.setattr(WorkersPort, "request", request)
    headers = {} if told is None else {"X-Prometheus-Scrape-Timeout-Seconds": told}
    async with (
        aiohttp.ClientSession(crew.server.url) as session,
        session.get("/metrics", headers=headers) as response,
    ):
        assert response.status == 200
    assert waited == [seconds or view.ANSWER_SECONDS]


async def test_one_that_is_silent_does_not_hold_up_those_asked_after_it(crew: Crew) -> None:
    await crew.answering(None)
    await crew.worker()
    assert await crew.series("streamapp_worker_up") == {"0": 0, "1": 1}


async def test_the_page_tells_the_state_of_each_worker(crew: Crew) -> None:
    now = crew.clock.monotonic()
    await crew.worker()
    await crew.answering(b"no such thing")
    crew.slot()
    crew.slot().set_ended(0, now)
    killed = crew.slot()
    killed.restarts.decide(-9, ran_seconds=1, any_was_up=True)
    killed.set_ended(-9, now)
    killed.set_waiting(now + 4)
    await crew.polls()
    _, html = await crew.get("/")
    assert [one["state"] for one in Shown(html).rows("worker") if "state" in one] == [
        "up for 0 s",
        "silent does not answer",
        "starting starts for 0 s",
        "ended with exit code 0",
        "waiting was killed by SIGKILL, starts again in 4 s",
    ]


async def test_the_page_of_metrics_tells_of_the_supervisors_own_platform(crew: Crew) -> None:
    _, text = await crew.get("/metrics")
    assert "python_info{" in text
    assert "python_gc_collections_total{" in text


async def test_the_status_of_all_workers_is_one_document(crew: Crew) -> None:
    await crew.worker()
    await crew.worker()
    crew.metrics[0].processed, crew.metrics[1].processed = 3, 4
    await crew.answering(b"not JSON")
    _, body = await crew.get("/status")
    found = StatusReport.model_validate_json(body)
    assert [one.outcomes["processed"] for one in found.stages] == [7]
    assert (found.workers, found.silent_workers) == (2, 1)


async def test_what_was_known_of_a_worker_is_kept_while_it_does_not_answer(crew: Crew) -> None:
    await crew.worker()
    slot = await crew.worker()
    crew.metrics[0].records_in, crew.metrics[1].records_in = 1234, 5678
    member = MemberState("fast", 0, 8, BreakerState.CLOSED, 0.1, calls=7, failures=0)
    for metrics in crew.metrics:
        metrics.pools = {"score": lambda _now: [member]}
    await crew.polls(1)  # nobody has asked for the status yet
    port, nobody = slot.web_port, await crew.answering(b"no such thing")
    crew.slots.remove(nobody)
    slot.web_port = nobody.web_port
    crew.clock.advance(12)
    await crew.polls()
    found = StatusReport.model_validate_json((await crew.get("/status"))[1])
    [stage] = found.stages
    assert (found.workers, found.silent_workers, stage.ok) == (1, 1, None)
    assert stage.records_in == 1234 + 5678
    assert (stage.lag, stage.finished_per_second) == (None, None)
    assert [one.worker for one in stage.members] == ["0"]
    well, lost = stage.shares
    assert (well.worker, well.ok, well.lag) == ("0", True, 0)
    assert (lost.worker, lost.level, lost.lag) == ("1", "unknown", None)
    assert lost.reason == "its worker does not answer; this is as it was 12 s ago"
    assert [(one.worker, one.lag) for one in stage.assigned] == [("0", 0), ("1", None)]
    slot.web_port = port
    found = StatusReport.model_validate_json((await crew.get("/status"))[1])
    assert (found.silent_workers, found.stages[0].lag) == (0, 0)


async def test_one_late_answer_is_no_silence(crew: Crew) -> None:
    slot = await crew.worker()
    crew.metrics[0].records_in = 1234
    await crew.polls(1)
    nobody = await crew.answering(b"")
    crew.slots.remove(nobody)
    slot.web_port = nobody.web_port
    crew.clock.advance(60)  # for as long nobody has asked
    await crew.polls(1)
    found = StatusReport.model_validate_json((await crew.get("/status"))[1])
    assert (found.workers, found.silent_workers, found.findings) == (1, 0, ())
    assert (found.stages[0].records_in, found.stages[0].lag) == (1234, 0)
    assert (await crew.verdict("/readyz"))[0] == 200
    assert await crew.series("streamapp_worker_cause") == {}
    await crew.polls(1)
    found = StatusReport.model_validate_json((await crew.get("/status"))[1])
    assert [one.cause for one in found.findings] == ["worker_silent"]
    assert await crew.series("streamapp_worker_cause") == {"0": 1}


async def test_one_that_hangs_in_its_start_is_told(crew: Crew) -> None:
    crew.slot()
    assert await crew.series("streamapp_worker_cause") == {}
    crew.clock.advance(SLOW_START_SECONDS)
    found = StatusReport.model_validate_json((await crew.get("/status"))[1])
    [told] = found.findings
    assert (told.cause, told.evidence) == (
        "worker_silent",
        "worker 0 is not up 60 s after its start",
    )
    assert await crew.series("streamapp_worker_cause") == {"0": 1}


async def test_workers_that_want_a_token_are_asked_with_it() -> None:
    slot = Slot(0, Restarts(RestartPolicy(), random.Random(1)))
    token = "many-characters-" * 2
    server = WebServer(WorkerView(list, nothing, HandClock()), access=Access(token))
    await server.start()
    slot.set_up(server.port, 0.0)
    knowing, ignorant = WorkersPort([slot], token), WorkersPort([slot])
    try:
        assert [*await knowing.request("/status", seconds=5)] == [0]
        assert [*await ignorant.request("/status", seconds=5)] == []
    finally:
        await knowing.close()
        await ignorant.close()
        await server.stop()


async def nothing(_: str) -> tuple[bytes, str]:
    return b"", "text/plain"
