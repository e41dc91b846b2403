"""The story of assembly on a real Kafka: an agent fails, and another one takes its place.

The agents stand in a configuration file only, in an order that is drawn. What became of the records
is read with a plain client.
"""

import json
import random
import signal
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.cli import RunningCommand, running, streamapp
from tests.kafka import Kafka, unique_name
from tests.patience import eventually
from tests.verifier.drain import drain

pytestmark = pytest.mark.timeout(240)

KEYS, BEFORE, RECORDS = 7, 70, 350
CAPABILITIES = ("data_validation", "data_transformation", "data_enrichment", "data_aggregation")
AGENTS = """
import asyncio
from pathlib import Path

from streamapp import agent


def step(name):
    @agent(name=name)
    async def work(value: dict) -> dict:
        await asyncio.sleep(0.001)
        if Path(f"{name}.down").exists():
            raise OSError(f"{name} does not answer")
        return value | {"by": [*value.get("by", []), name]}

    return work


check, convert, enrich_a, enrich_b, count = map(
    step, ["check", "convert", "enrich_a", "enrich_b", "count"]
)
"""
OFFERS = {
    "check": "data_validation",
    "convert": "data_transformation",
    "enrich_a": "data_enrichment",
    "enrich_b": "data_enrichment",
    "count": "data_aggregation",
}


def write_project(folder: Path, name: str) -> None:
    """A configuration file with the agents in any order, and the module that they are in."""
    agents = [
        (
            agent_id,
            {
                "agent_class": agent_id,
                "module_path": "stalls",
                "capabilities": [capability],
                "input_schema": "Order",
                "output_schema": "Order",
            },
        )
        for agent_id, capability in OFFERS.items()
    ]
    random.Random().shuffle(agents)
    stages = [{"capability": one, "retry_count": 1} for one in CAPABILITIES]
    pipeline = {"source": f"{name}.in", "sink": f"{name}.out", "stages": stages}
    content = {"data_agents": dict(agents), "data_pipelines": {name: pipeline}}
    (folder / "atomic_data_config.json").write_text(json.dumps(content))
    (folder / "stalls.py").write_text(AGENTS)


class Story:
    """A project on a real Kafka, and the worker that runs it."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka = kafka
        self.folder = folder
        self.name = unique_name("story")
        self.env = {
            "STREAMAPP_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "STREAMAPP_ALLOWED_PACKAGES": "stalls",
            "STREAMAPP_REASSEMBLE_AFTER_SECONDS": "2",
        }

    def succeed(self, *args: str) -> str:
        done = streamapp(*args, cwd=self.folder, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def worker(self, number: int) -> Any:
        args = ("pipelines", "run", self.name, "--web-port", "0")
        folder = self.folder / f"worker-{number}"
        return running(*args, folder=folder, cwd=self.folder, env=self.env)

    async def write(self, numbers: range) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap_servers)
        await producer.start()
        try:
            for n in numbers:
                key, value = str(n % KEYS).encode(), json.dumps({"n": n}).encode()
                await producer.send(f"{self.name}.in", value, key=key)
        finally:
            await producer.stop()

    async def read(self) -> list[dict[str, Any]]:
        found = drain(self.kafka.bootstrap_servers, f"{self.name}.out")
        return [json.loads(record.value) async for record in found]

    async def wait_for(self, count: int) -> list[dict[str, Any]]:
        """The outputs, once there are so many."""

        async def are_there() -> bool:
            return len(await self.read()) >= count

        await eventually(are_there, seconds=90)
        return await self.read()

    async def letters(self) -> int:
        found = 0
        for capability in CAPABILITIES:
            topic = f"{self.name}.{capability}.dlq"
            found += len([one async for one in drain(self.kafka.bootstrap_servers, topic)])
        return found


def page(worker: RunningCommand, path: str) -> str:
    """A page of the worker."""
    url = worker.wait_for("Status ").split()[-1]
    with urllib.request.urlopen(f"{url}{path}") as answer:  # noqa: S310 - on this machine
        return str(answer.read().decode())


def stop(worker: RunningCommand) -> None:
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0, worker.stderr


def chain_of(status: Mapping[str, Any]) -> tuple[list[str], Mapping[str, float]]:
    """The agents of the pipeline, and their success rates."""
    [chain] = status["chains"]
    scores = [score for step in chain["steps"] for score in step["scores"]]
    rates = {
        score["agent_id"]: figure["value"]
        for score in scores
        for figure in score["figures"]
        if figure["name"] == "success_rate"
    }
    return [score["agent_id"] for score in scores], rates


def chosen_for_enrichment(explained: str) -> str:
    return explained


async def test_an_agent_fails_and_another_takes_its_place_and_the_scores_remember(
    kafka: Kafka, tmp_path: Path
) -> None:
    story = Story(kafka, tmp_path)
    write_project(tmp_path, story.name)
    story.succeed("topics", "apply", f"atomic_data_config.json#{story.name}")
    await story.write(range(BEFORE))
    with story.worker(1) as worker:
        before = await story.wait_for(BEFORE)
        assert {tuple(one["by"]) for one in before} == {("check", "convert", "enrich_a", "count")}
        (tmp_path / "enrich_a.down").touch()
        await story.write(range(BEFORE, RECORDS))
        worker.wait_for_error("agent 'enrich_b' takes its place")
        outputs = await story.wait_for(RECORDS)
        status, metrics = json.loads(page(worker, "status")), page(worker, "metrics")
        told = story.succeed("status", story.name, "--output", "table")
        stop(worker)
    assert sorted(one["n"] for one in outputs) == list(range(RECORDS))
    for key in range(KEYS):
        own = [one["n"] for one in outputs if one["n"] % KEYS == key]
        assert own == sorted(own)
    assert {one["by"][2] for one in outputs if one["n"] >= BEFORE} == {"enrich_b"}
    assert await story.letters() == 0
    [chain] = status["chains"]
    [replaced] = chain["replacements"]
    assert (replaced["agent_id"], replaced["by"]) == ("enrich_a", "enrich_b")
    assert [one["agent_id"] for one in replaced["candidates"]] == ["enrich_b"]
    assert chain_of(status)[0] == ["check", "convert", "enrich_b", "count"]
    labels = f'{{pipeline="{story.name}",stage="data_enrichment",trigger="breaker_open"}}'
    assert f"streamapp_agent_replacements_total{labels} 1.0" in metrics.splitlines()
    assert f"{story.name}: running for " in told
    assert "agent 'enrich_b' takes its place" in told
    explained = story.succeed("pipelines", "show", story.name, "--explain", "--output", "table")
    assert "  enrich_b: chosen, part of the best chain" in explained
    assert "  enrich_a: possible, the best chain with it has a score of" in explained
    with story.worker(2) as worker:
        await story.write(range(RECORDS, RECORDS + KEYS))
        outputs = await story.wait_for(RECORDS + KEYS)
        agents, rates = chain_of(json.loads(page(worker, "status")))
        stop(worker)
    assert {one["by"][2] for one in outputs if one["n"] >= RECORDS} == {"enrich_b"}
    assert agents == ["check", "convert", "enrich_b", "count"]
    assert all(rate > 0.9 for rate in rates.values())  # each was measured in the run before
