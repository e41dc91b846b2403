"""What is secret is in no line that a command writes, and every line is JSON if that is asked."""

import signal
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tests.cli import running
from tests.project import Project

VALUE, KEY, HEADER = "canary-of-value", "canary-of-key", "canary-of-header"
CANARIES = (VALUE, KEY, HEADER)

LEAKING = """
import asyncio, gc, logging, threading, warnings
from pydantic import BaseModel, field_validator
from streamapp import Pipeline, Topic, agent
from streamapp.errors import Permanent, Transient
from streamapp.pipeline.context import Context
from streamapp.policies.policy import dead_letter, retry, skip

logging.getLogger("aiokafka").setLevel(logging.DEBUG)

class Order(BaseModel):
    n: int
    name: str

    @field_validator("name")
    @classmethod
    def _check(cls, name: str) -> str:
        if "refused" in name:
            raise ValueError(f"{{name}} is refused")
        return name

class Unraisable:
    def __init__(self, text):
        self.text = text
    def __del__(self):
        raise ValueError(self.text)

async def fail(text):
    raise ValueError(text)

def fail_thread(text):
    raise ValueError(text)

@agent
async def leak(value: Order, context: Context) -> Order:
    logging.getLogger("aiokafka.conn").setLevel(logging.DEBUG)
    text = f"cannot take {{value!r}}"
    match value.n % 8:
        case 1:
            raise ValueError(text)
        case 2:
            raise Permanent(text)
        case 3:
            raise Transient(text)
        case 4:
            raise OSError(text)
        case 5:
            forgotten = asyncio.ensure_future(fail(text))
            await asyncio.sleep(0.01)
            del forgotten
            gc.collect()
        case 6:
            thread = threading.Thread(target=fail_thread, args=(text,))
            thread.start()
            await asyncio.sleep(0.01)
        case 7:
            Unraisable(text)
            try:
                raise KeyError(text)
            except KeyError as error:
                raise RuntimeError(text) from error
    return value

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", Order))
    .stage(leak, on_error=retry(1, then=dead_letter()))
    .sink("{name}.out")
)
"""

STOPPED = LEAKING.replace("retry(1, then=dead_letter())", "stop()").replace(
    "import dead_letter", "import stop, dead_letter"
)


async def write(project: Project) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        values = [b'{"n":%d,"name":"canary-of-value"}' % n for n in range(16)]
        values += [b"canary-of-value", b'{"n":"canary-of-value"}']
        values += [b'{"n":1,"name":"refused canary-of-value"}']
        for n, value in enumerate(values):
            key, headers = f"{KEY}-{n}".encode(), [("h", HEADER.encode())]
            await producer.send_and_wait(f"{project.name}.raw", value, key=key, headers=headers)


def json_lines(*written: str) -> Iterator[dict[str, Any]]:
    for text in written:
        for line in text.splitlines():
            yield orjson.loads(line)


@pytest.mark.parametrize("project", [LEAKING], indirect=True, ids=["leaking"])
@pytest.mark.parametrize("log_format", ["json", "plain"])
async def test_no_payload_is_in_any_line_at_debug(project: Project, log_format: str) -> None:
    await write(project)
    done = project.streamapp(
        *("run", "mine:pipeline", "--until-end", "--web-port", "0"),
        *("--log-level", "DEBUG", "--log-format", log_format, "--progress-seconds", "0.1"),
    )
    assert done.returncode == 0, done.stderr
    for canary in CANARIES:
        assert canary not in done.stdout + done.stderr
    assert "Task exception was never retrieved" in done.stderr  # these faults have really happened
    assert "ended with ValueError" in done.stderr
    assert "was raised where nothing can catch it" in done.stderr
    assert "first dead letter" in done.stderr
    assert len(await project.read("leak.dlq", 1)) == 13
    if log_format == "json":
        texts = [line["text"] for line in json_lines(done.stdout, done.stderr)]
        assert any(text.startswith("Kafka    ") for text in texts)
        assert any(text.startswith("leak: stopped") for text in texts)


@pytest.mark.parametrize("project", [STOPPED], indirect=True, ids=["stopped"])
async def test_a_stage_that_stops_tells_where_and_not_what(project: Project) -> None:
    await write(project)
    done = project.streamapp(
        *("run", "mine:pipeline", "--until-end", "--no-web", "--log-level", "DEBUG"),
        *("--log-format", "json"),
    )
    assert done.returncode == 5
    for canary in CANARIES:
        assert canary not in done.stdout + done.stderr
    last = list(json_lines(done.stdout, done.stderr))[-1]
    assert last["level"] == "ERROR"
    assert "raised at mine.py:leak" in last["text"]


@pytest.mark.parametrize("project", [LEAKING], indirect=True, ids=["leaking"])
async def test_supervisor_and_workers_write_json_from_their_start_to_their_end(
    project: Project,
) -> None:
    await write(project)
    command = ("run", "mine:pipeline", "--workers", "2", "--web-port", "0")
    more = ("--log-format", "json", "--log-level", "DEBUG", "--progress-seconds", "0.2")
    with running(
        *command, *more, folder=project.folder / "run", cwd=project.folder, env=project.env
    ) as run:
        run.wait_for_error("worker 1 is up")
        run.wait_for_error("first dead letter")
        run.send(signal.SIGTERM)
        assert run.exit_code() == 0
        lines = list(json_lines(run.stdout, run.stderr))
        for canary in CANARIES:
            assert canary not in run.stdout + run.stderr
    assert {line.get("worker") for line in lines} == {None, 0, 1}
    assert any(line["text"].startswith("Stopping: 2 workers") for line in lines)


@pytest.mark.parametrize("project", [LEAKING], indirect=True, ids=["leaking"])
async def test_the_generator_writes_json(project: Project) -> None:
    raw = f"{project.name}.raw"
    written = project.succeed(
        "generate", "--records", "500", "--topic", raw, "--log-format", "json"
    )
    texts = [line["text"] for line in json_lines(written)]
    assert texts[0].startswith("Kafka    ")
    assert texts[-1].startswith(f"500 records written to {raw}")


@pytest.mark.parametrize("project", [LEAKING], indirect=True, ids=["leaking"])
async def test_a_run_that_cannot_start_says_so_in_json(project: Project) -> None:
    done = project.streamapp("run", "mine:nothing", "--log-format", "json")
    assert done.returncode == 3
    [line] = json_lines(done.stdout, done.stderr)
    assert line["level"] == "ERROR"
    assert "nothing" in line["text"]
