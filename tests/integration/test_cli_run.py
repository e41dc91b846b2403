"""`streamapp topics`, `generate` and `run` on real Kafka, checked by a plain consumer."""

import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streamapp.cli.exit_codes import ExitCode
from streamapp.examples.playback.generator import EVENT_ID_HEADER
from tests.cli import running
from tests.project import STOPPING, STUCK, Project

RECORDS = 2_000
PARTITIONS = 4

PLAYBACK = """
from streamapp.examples.playback.agents import ALERTS_ROUTE
from streamapp.examples.playback.models import RawPlayback, ScoredPlayback
from streamapp.examples.playback.pipeline import enrich, route, score, validate
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import dead_letter
from streamapp.topics.topic import Topic

def pipeline():
    return (
        Pipeline("{name}", source=Topic("{name}.raw", RawPlayback))
        .stage(validate, on_error=dead_letter())
        .stage(enrich, on_error=dead_letter())
        .stage(score)
        .stage(route, routes={{ALERTS_ROUTE: Topic("{name}.alerts", ScoredPlayback)}}, fused=True)
        .sink("{name}.scored")
    )
"""


def read_ledger(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def event_id(record: Any) -> str:
    found: bytes = dict(record.headers)[EVENT_ID_HEADER]
    return found.decode()


async def assert_as_the_ledger_says(project: Project, ledger: Iterable[dict[str, Any]]) -> None:
    """Hold the sinks and dead letters against what was to become of every event."""
    expected_scored: Counter[str] = Counter()
    expected_letters: Counter[tuple[str, str, str]] = Counter()
    for entry in ledger:
        assert entry["status"] == "acknowledged"
        if entry["expected"] == "scored":
            expected_scored[entry["event_id"]] += 1
        else:
            expected_letters[entry["event_id"], entry["stage"], entry["reason"]] += 1
    scored = await project.read("scored", PARTITIONS)
    assert Counter(map(event_id, scored)) == expected_scored
    letters: Counter[tuple[str, str, str]] = Counter()
    for stage in ("validate", "enrich", "score", "route"):
        for record in await project.read(f"{stage}.dlq", 1):
            headers = {name: value.decode() for name, value in record.headers}
            where, why = headers["streamapp.error.stage"], headers["streamapp.error.reason"]
            letters[headers[EVENT_ID_HEADER], where, why] += 1
    assert letters == expected_letters
    last: dict[bytes, int] = {}
    for record in scored:
        sequence = orjson.loads(record.value)["sequence"]
        assert sequence >= last.get(record.key, 0), f"{record.key!r} is out of order"
        last[record.key] = sequence


@pytest.mark.parametrize("project", [PLAYBACK], indirect=True, ids=["playback"])
async def test_every_event_of_the_ledger_ends_where_it_says(project: Project) -> None:
    ledger = project.folder / "ledger.jsonl"
    raw = f"{project.name}.raw"
    written = project.succeed(
        "generate", "--records", str(RECORDS), "--topic", raw, "--ledger", ledger
    )
    assert f"\n{RECORDS:,} records written to {raw}" in written
    entries = read_ledger(ledger)
    assert len(entries) == RECORDS
    assert len({entry["kind"] for entry in entries}) == 6
    sent = {
        (r.partition, r.offset): (event_id(r), r.key.decode()) for r in await project.read("raw", 4)
    }
    noted = {(e["partition"], e["offset"]): (e["event_id"], e["key"]) for e in entries}
    assert noted == sent

    output = project.succeed(
        "run", "mine:pipeline", "--stage", "validate", "--until-end", "--no-web"
    )
    assert "leaves: " in output
    assert await project.read("validate", PARTITIONS)
    assert not await project.read("enrich", PARTITIONS)

    output = project.succeed("run", "mine:pipeline", "--until-end", "--web-port", "0")
    assert "Metrics  http://127.0.0.1:" in output
    assert "leaves: " in output
    assert "validate: stopped, 0 in" in output
    await assert_as_the_ledger_says(project, entries)


@pytest.mark.parametrize("project", [PLAYBACK], indirect=True, ids=["playback"])
async def test_sigterm_drains_a_run_and_a_generator_and_nothing_is_lost(project: Project) -> None:
    ledger = project.folder / "ledger.jsonl"
    raw, env, folder = f"{project.name}.raw", project.env, project.folder
    more = ("--progress-seconds", "0.2")
    worker = ("run", "mine:pipeline", "--web-port", "0", *more)
    source = ("generate", "--forever", "--rate", "2000", "--topic", raw, "--ledger", ledger, *more)
    with (
        running(*worker, folder=folder / "worker", cwd=folder, env=env) as run,
        running(*source, folder=folder / "source", cwd=folder, env=env) as generator,
    ):
        generator.wait_for("records written")
        run.wait_for("score: running, 1")
        [state] = orjson.loads(project.succeed("status", project.name))["pipelines"]
        assert (state["status"], state["is_live"]) == ("running", True)
        stages = {one["stage"]: one for one in state["report"]["stages"]}
        assert stages["score"]["outcomes"]["processed"] > 0
        run.send(signal.SIGTERM)
        assert run.exit_code() == 0
        assert "Stopping" in run.stderr
        assert "validate: stopped" in run.stdout
        servers = env["STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"]
        assert f"Kafka    {servers}\n" in run.stdout
        assert f"Kafka    {servers}\n" in generator.stdout
        generator.send(signal.SIGTERM)
        assert generator.exit_code() == 0
    entries = read_ledger(ledger)
    assert len(entries) == len(await project.read("raw", PARTITIONS))

    project.succeed("run", "mine:pipeline", "--until-end", "--no-web")
    [state] = orjson.loads(project.succeed("status", project.name))["pipelines"]
    assert (state["status"], state["is_live"]) == ("success", False)
    await assert_as_the_ledger_says(project, entries)


@pytest.mark.parametrize("project", [STOPPING], indirect=True, ids=["stopping"])
async def test_stop_names_the_record_and_a_restart_goes_on_there(project: Project) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in range(10):
            await producer.send_and_wait(f"{project.name}.raw", b'{"n":%d}' % n, partition=2)
    run = ("run", "mine:pipeline", "--until-end", "--no-web", "--log-level", "ERROR")
    for _ in range(2):
        stopped = project.streamapp(*run)
        assert stopped.returncode == ExitCode.STAGE_STOPPED
        [line] = stopped.stderr.splitlines()
        assert f"record {project.name}.raw[2] at offset 5" in line
        assert "raised at mine.py:careful" in line
        assert "five is not liked" not in line  # what an agent says may quote the record
        assert "careful: failed" in stopped.stdout

    assert project.streamapp(*run, FIXED="1").returncode == 0
    values = [orjson.loads(record.value) for record in await project.read("out", PARTITIONS)]
    assert [value["n"] for value in values] == list(range(10))
    assert [value["fixed"] for value in values] == [False] * 5 + [True] * 5


@pytest.mark.parametrize("project", [STUCK], indirect=True, ids=["stuck"])
async def test_an_agent_that_ignores_its_end_does_not_hold_the_process(project: Project) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in range(3):
            await producer.send_and_wait(f"{project.name}.raw", b'{"n":%d}' % n, partition=2)
    command = ("run", "mine:pipeline", "--no-web", "--drain-seconds", "0.5")
    with running(
        *command, folder=project.folder / "worker", cwd=project.folder, env=project.env
    ) as run:
        run.wait_for("stuck in 1")
        run.send(signal.SIGTERM)
        assert run.exit_code() == ExitCode.DRAIN_TIMEOUT
        assert "1 attempts of stage 'stubborn'" in run.stderr
    done = project.streamapp("run", "mine:pipeline", "--until-end", "--no-web", FIXED="1")
    assert done.returncode == 0
    values = [orjson.loads(record.value)["n"] for record in await project.read("out", PARTITIONS)]
    assert sorted(set(values)) == [0, 1, 2]
    assert values.count(1) == 1


@pytest.mark.parametrize("project", [PLAYBACK], indirect=True, ids=["playback"])
async def test_topics_are_listed_with_what_is_in_them(project: Project) -> None:
    raw = f"{project.name}.raw"
    project.succeed("generate", "--records", "1234", "--topic", raw)
    listed = project.succeed("topics", "list")
    rows = {line.split()[0]: line.split()[1:] for line in listed.splitlines()}
    assert rows[raw] == ["4", "1", "1,234", "7", "d", "1,048,588"]
    assert rows[f"{project.name}.validate.dlq"] == ["1", "1", "0", "7", "d", "1,114,124"]
    assert not any(name.startswith("__") for name in rows)
