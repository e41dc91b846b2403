"""`streamapp run` with traces: what a collector of OpenTelemetry receives."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.project import Project

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

TWO_STAGES = """
from streamapp import Pipeline, Topic, agent
from streamapp.errors import Permanent
from streamapp.policies.policy import dead_letter

@agent
def first(value: dict) -> dict:
    return value

@agent
def second(value: dict) -> dict:
    raise Permanent(str(value))

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", dict))
    .stage(first)
    .stage(second, on_error=dead_letter())
    .sink("{name}.out")
)
"""


FAUST_FIRST = """
import os
import faust
from streamapp import Pipeline, Topic, agent
from streamapp.errors import Permanent
from streamapp.faust_adapter import faust_agent
from streamapp.policies.policy import dead_letter

app = faust.App(
    "{name}",
    broker="kafka://" + os.environ["STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"],
    store="memory://",
    topic_partitions=4,
)

@app.agent(app.topic("{name}.raw", value_serializer="json"))
async def first(values):
    async for value in values:
        yield value

@agent
def second(value: dict) -> dict:
    raise Permanent(str(value))

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", bytes))
    .stage(faust_agent(first, gives=dict))
    .stage(second, on_error=dead_letter())
    .sink("{name}.out")
)
"""


class Collector(ThreadingHTTPServer):
    """Keeps what is exported to it by HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the same
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "project", [TWO_STAGES, FAUST_FIRST], indirect=True, ids=["two-stages", "faust-first"]
)
async def test_a_collector_gets_one_trace_of_all_stages_without_a_payload(
    project: Project, collector: Collector
) -> None:
    headers = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        value = b'{"secret":"canary"}'
        await producer.send_and_wait(f"{project.name}.raw", value, headers=headers)
    done = project.streamapp(
        *("run", "mine:pipeline", "--until-end", "--no-web"),
        STREAMAPP_TRACES="0",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
    )
    assert done.returncode == 0, done.stderr
    requests = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    spans = [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert sorted(span.name for span in spans) == [
        "dead letter of second",
        "process first",
        "process second",
    ]
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert b"canary" not in b"".join(collector.bodies)
