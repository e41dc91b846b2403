import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from streamapp import Pipeline, Topic, agent, batch_agent, drop, fallback
from streamapp.errors import ConfigurationError, PortInUseError
from streamapp.native_leaves import SELECTED
from streamapp.observability.exporter import MetricsExporter
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.stage_metrics import StageMetrics, StageState
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


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_written(
    client: aiohttp.ClientSession, method: str, path: str
) -> None:
    async with client.request(method, path) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"


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
    metrics.processed, metrics.acknowledged_records = 9, 4  # the others were refused
    worker.clock.advance(2.0)
    async with client.get("/status") as response:
        found = await response.json()
    assert [one["pipeline"] for one in found["pipelines"]] == ["playback"]
    [stage] = found["stages"]
    assert (found["version"], found["workers"], found["chains"]) == (1, 1, [])
    assert found["leaves"] == SELECTED.sentence
    assert (stage["stage"], stage["lag"], stage["outcomes"]["processed"]) == ("validate", 3, 9)
    assert stage["finished_per_second"] == 2.0
    assert stage["reason"] == "running, lag of 3 records"
