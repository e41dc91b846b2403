import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from streamapp import Pipeline, Topic, agent, batch_agent, drop, fallback
from streamapp.errors import ConfigurationError, PortInUseError
from streamapp.observability.exporter import MetricsExporter
from streamapp.observability.histogram import Histogram
from streamapp.observability.stage_metrics import (
    BreakerState,
    DeadLetterReason,
    MemberState,
    PartitionMetrics,
    StageMetrics,
    StageState,
    TopicFault,
)
from streamapp.pipeline.outline import outline_of
from streamapp.pipeline.topology import build
from streamapp.record import TopicPartition
from streamapp.web.server import WebServer, WorkerView
from tests.hand_clock import HandClock


@agent
def left(value: int) -> int:
    return value


@agent
def right(value: int) -> int:
    return -value


@batch_agent(size=50)
def together(values: list[int]) -> list[int]:
    return values


OUTLINE = outline_of(
    build(
        Pipeline("playback", source=Topic("raw", int))
        .stage(fallback(left, right, name="<i>"), name="first", routes={"odd": Topic("odd", int)})
        .stage(left, name="second", fused=True, on_error=drop(), output=Topic("out", int))
        .stage(together, name="third", on_error=drop())
        .sink("end")
    )
)


class Worker:
    """What stands behind the server, moved by the test."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.exporter = MetricsExporter(self.clock)
        self.view = WorkerView(
            lambda: self.exporter.stages.stages,
            self.exporter.render,
            self.clock,
            stall_after_seconds=60,
            outlines=[OUTLINE],
        )

    def add(self, stage: str = "validate", *, lag: int = 0) -> StageMetrics:
        metrics = StageMetrics("playback", stage, "raw")
        metrics.state = StageState.RUNNING
        metrics.rebalances = 1
        metrics.last_progress_at = self.clock.monotonic()
        metrics.partitions[TopicPartition("raw", 0)] = PartitionMetrics(lag_records=lag)
        self.exporter.stages.add(metrics)
        return metrics


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[aiohttp.ClientSession]:
    server = WebServer(worker.view)
    await server.start()
    async with aiohttp.ClientSession(server.url) as session:
        yield session
    await server.stop()


async def _answer(client: aiohttp.ClientSession, path: str) -> tuple[int, dict[str, object]]:
    async with client.get(path) as response:
        assert response.content_type == "application/json"
        assert (await response.text()).endswith("}\n")  # for who reads it in a shell
        body: dict[str, object] = await response.json()
        return response.status, body


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text",
        ),
    ],
)
async def test_metrics_come_in_the_format_that_is_asked_for(
    client: aiohttp.ClientSession, worker: Worker, accept: str, content_type: str
) -> None:
    worker.add().received["raw"].records = 42
    async with client.get("/metrics", headers={"Accept": accept}) as response:
        text = await response.text()
        assert (response.status, response.content_type) == (200, content_type)
    labels = 'pipeline="playback",stage="validate",topic="raw"'
    line = f"streamapp_received_records_total{{{labels}}} 42.0"
    assert line in text.splitlines()
    assert text.endswith("# EOF\n") == (content_type != "text/plain")


async def test_health_names_the_stage_that_stalls_and_why(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    worker.add("validate")
    worker.add("enrich", lag=5)
    assert (await _answer(client, "/healthz"))[0] == 200
    worker.clock.advance(60)
    status, body = await _answer(client, "/healthz")
    assert status == 503
    assert body == {
        "ok": False,
        "stages": [
            {
                "pipeline": "playback",
                "stage": "validate",
                "ok": True,
                "reason": "running, no lag",
            },
            {
                "pipeline": "playback",
                "stage": "enrich",
                "ok": False,
                "reason": "lag of 5 records and no progress for 60 s",
            },
        ],
    }


async def test_ready_waits_for_every_stage(client: aiohttp.ClientSession, worker: Worker) -> None:
    worker.add("validate")
    late = worker.add("enrich")
    late.rebalances = 0
    status, body = await _answer(client, "/readyz")
    assert (status, body["ok"]) == (503, False)
    late.rebalances = 1
    status, body = await _answer(client, "/readyz")
    assert (status, body["ok"]) == (200, True)


async def test_without_stages_the_worker_is_healthy_and_not_ready(
    client: aiohttp.ClientSession,
) -> None:
    assert await _answer(client, "/healthz") == (200, {"ok": True, "stages": []})
    assert await _answer(client, "/readyz") == (503, {"ok": False, "stages": []})


async def test_the_page_shows_each_stage_and_links_the_rest(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    stage = worker.add("validate", lag=1234)
    stage.records_in = 1_000_001
    stage.records_out["valid"] = 900_002
    stage.records_out["valid.dlq"] = stage.dead_letters[DeadLetterReason.DECODE] = 77
    async with client.get("/") as response:
        page = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
    for text in ("playback", "validate", "running", "1,000,001", "900,002", ">1,234<", ">77<"):
        assert text in page
    for link in ("/metrics", "/healthz", "/readyz"):
        assert f'href="{link}"' in page
    assert 'http-equiv="refresh"' in page


async def test_the_page_shows_what_waits_for_a_later_retry_and_counts_it_as_no_output(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    stage = worker.add("validate", lag=17)
    [partition] = stage.partitions.values()
    partition.waits_until = worker.clock.monotonic() + 60
    stage.retried_later, stage.retries = 23, 5
    stage.retry_topics = ("p.validate.retry-10s",)
    stage.records_out |= {"valid": 900_002, "p.validate.retry-10s": 23}
    async with client.get("/") as response:
        page = await response.text()
    for text in ("17 wait for a retry", "<small>23 later</small>", ">900,002<"):
        assert text in page


@pytest.mark.parametrize(("known", "shown"), [(0, ">?<"), (1234, ">≥ 1,234<")])
@pytest.mark.parametrize("unknown", ["a partition", "a topic"])
async def test_the_page_shows_no_lag_as_if_it_were_all_while_a_part_is_unknown(
    client: aiohttp.ClientSession, worker: Worker, known: int, shown: str, unknown: str
) -> None:
    stage = worker.add("validate", lag=known)
    if unknown == "a partition":
        stage.partitions[TopicPartition("raw", 1)] = PartitionMetrics()
    else:
        stage.topic_faults = {"raw": TopicFault("new partitions", 0.0, hides_lag=True)}
    async with client.get("/") as response:
        assert shown in await response.text()


async def test_the_page_says_which_stage_stalls_and_since_when(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    worker.add("validate")
    stage = worker.add("enrich", lag=5)
    partition = stage.partitions[TopicPartition("raw", 0)]
    partition.oldest_timestamp_seconds = worker.clock.time() - 100
    async with client.get("/") as response:
        assert "all 2 stages are well" in await response.text()
    worker.clock.advance(60)
    async with client.get("/") as response:
        page = await response.text()
    assert "<title>(!) streamapp</title>" in page
    assert "enrich: lag of 5 records and no progress for 60 s" in page
    assert page.count('class="state failing"') == 1
    assert "2 min 40 s" in page


async def test_the_page_calls_no_stage_well_of_which_that_is_not_known(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    worker.add("fine")
    worker.add("lost").cut_off_since = worker.clock.monotonic()
    worker.add("held").held_since = worker.clock.monotonic()
    worker.clock.advance(30)
    async with client.get("/") as response:
        page = await response.text()
    assert "are well" not in page
    assert "lost: out of its group, or Kafka does not answer, for 30 s" in page
    assert "held: records are held for 30 s" in page
    assert "fine: " not in page
    async with client.get("/healthz") as response:
        assert response.status == 200, "a restart would not help"


async def test_the_page_shows_the_rate_of_what_was_acknowledged_and_no_zero_for_unknown(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    stage = worker.add()
    async with client.get("/") as response:
        assert 'title="not known yet">?<' in await response.text()
    stage.recent.sample(stage, worker.clock.monotonic())
    stage.processed, stage.acknowledged_records = 9_000, 1_000  # 8,000 of them were refused
    worker.clock.advance(2)
    async with client.get("/") as response:
        assert ">500<" in await response.text()


async def test_a_fused_stage_shows_what_it_is_fused_to_and_no_lag(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    worker.exporter.stages.add(StageMetrics("playback", "route", "enriched", fused_to="score"))
    async with client.get("/") as response:
        page = await response.text()
    assert "fused to score" in page
    assert "enriched" not in page
    assert page.count(">?<") == 1  # the rate


async def test_the_page_shows_how_stages_are_connected_and_their_parts(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    worker.add("first")
    worker.add("second")
    async with client.get("/") as response:
        page = await response.text()
    assert (
        '<li><span class="topic">raw</span> → <b>first</b> → fused,'
        ' <span class="topic">odd</span> <small>by the route odd</small>,'
        ' <span class="topic letters">playback.first.dlq</span>'
        "<ul><li><small>fallback</small> &lt;i&gt;<ul><li>left</li><li>right</li></ul></li></ul>"
        "</li>\n"
        '<li>fused → <b>second</b> → <span class="topic">out</span></li>\n'
    ) in page
    # It is not there for a stage that this worker does not run.
    assert "third" not in page


async def test_the_page_and_the_status_tell_of_the_members_of_pools(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    at: list[float] = []

    def members(now: float) -> list[MemberState]:
        at.append(now)
        return [
            MemberState("fast", 2, 8, BreakerState.CLOSED, 0.1, calls=1200, failures=3),
            MemberState("<b>", 0, 4, BreakerState.OPEN, 0.5, calls=40, failures=40),
        ]

    worker.add().pools = {"score": members}
    async with client.get("/") as response:
        page = await response.text()
    assert (
        '<li>score: <b>fast</b> <span class="well">takes calls</span>, 2 of 8 calls run;'
        " 1,200 calls, 3 failed</li>\n"
        '<li>score: <b>&lt;b&gt;</b> <span class="unwell">left out</span>, 0 of 4 calls run;'
        " 40 calls, 40 failed</li>\n"
    ) in page
    async with client.get("/rows") as response:
        [stage] = await response.json()
    assert stage["members"][1] == {
        "pool": "score",
        "agent": "<b>",
        "breaker": "open",
        "active": 0,
        "capacity": 4,
        "calls": 40,
        "failures": 40,
    }
    assert set(at) == {worker.clock.monotonic()}


async def test_the_page_shows_how_large_batches_are(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    metrics = worker.add("third")
    sizes = metrics.batch_records = Histogram(unit_seconds=1, buckets=16)
    metrics.attempt_duration.observe(900)
    async with client.get("/") as response:
        page = await response.text()
    assert "<b>third</b> <small>in batches of up to 50</small> → " in page
    assert "≤ 1 ms</td>" in page
    for size in (50, 25):
        sizes.observe(size)
    async with client.get("/") as response:
        assert "≤ 1 ms<small>in batches of 37.5</small></td>" in await response.text()


async def test_a_stage_name_cannot_write_html(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    worker.add("<script>alert(1)</script>")
    async with client.get("/") as response:
        page = await response.text()
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_the_page_says_when_there_is_no_stage(client: aiohttp.ClientSession) -> None:
    async with client.get("/") as response:
        assert "No stage runs." in await response.text()


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/healthz/x", "/..%2fetc%2fpasswd"])
async def test_other_paths_are_not_found(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 404


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_written(
    client: aiohttp.ClientSession, method: str, path: str
) -> None:
    async with client.request(method, path) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.com", "", "127.0.0.1 "])  # noqa: S104 - refused
def test_any_address_but_loopback_is_refused(worker: Worker, host: str) -> None:
    with pytest.raises(ConfigurationError, match="loopback addresses only"):
        WebServer(worker.view, host=host)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(worker: Worker, port: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{port} is not a port"):
        WebServer(worker.view, port=port)


async def test_port_0_is_a_free_port_on_loopback(worker: Worker) -> None:
    server = WebServer(worker.view, host="localhost")
    await server.start()
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}/"
    await server.stop()
    await server.stop()


async def test_a_port_in_use_ends_in_one_sentence_and_nothing_is_left_open(worker: Worker) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = WebServer(worker.view, port=port)
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is in use"):
            await server.start()
    await server.start()
    assert server.port == port
    await server.stop()


async def test_status_is_a_document_with_a_version(
    client: aiohttp.ClientSession, worker: Worker
) -> None:
    metrics = worker.add(lag=3)
    metrics.recent.sample(metrics, worker.clock.monotonic())
    metrics.processed = metrics.acknowledged_records = 4
    worker.clock.advance(2.0)
    async with client.get("/status") as response:
        found = await response.json()
    [stage] = found["stages"]
    assert (found["version"], found["workers"], found["chains"]) == (1, 1, [])
    assert (stage["stage"], stage["lag"], stage["outcomes"]["processed"]) == ("validate", 3, 4)
    assert stage["finished_per_second"] == 2.0
    assert stage["reason"] == "running, lag of 3 records"
