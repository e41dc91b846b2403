"""`streamapp trace` on a real Kafka: a retry, a dead letter, a replay, and back again."""

import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from streamapp.cli.exit_codes import ExitCode
from tests.project import Project

SHOP = """
import os
from streamapp import Pipeline, Topic, agent, dead_letter, retry_later

@agent
def admit(value: dict) -> dict:
    return value

@agent
async def check(value: dict) -> dict:
    if value["n"] == 2 and not os.environ.get("MENDED"):
        raise LookupError("a secret price")
    return value

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", dict))
    .stage(admit)
    .stage(check, on_error=retry_later([0.5]), breaker=None, dead_letter_budget=None)
    .sink("{name}.out")
)
"""
RUN = ("run", "mine:pipeline", "--until-end", "--no-web", "--log-level", "ERROR")


async def write(project: Project, count: int) -> list[str]:
    """Write records, and return where they stand."""
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        written = [
            await producer.send_and_wait(f"{project.name}.raw", b'{"n":%d}' % n, key=b"k%d" % n)
            for n in range(count)
        ]
    return [f"{one.topic}:{one.partition}:{one.offset}" for one in written]


def way_of(project: Project, address: str) -> Any:
    return json.loads(project.succeed("trace", address, "mine:pipeline", "--output", "json"))


def second(way: Any) -> Any:
    """What the second stage did with what the first has made of it."""
    [admitted] = way["start"]["visits"]
    [output] = admitted["outputs"]
    [checked] = output["visits"]
    return checked


def address_of(record: Any) -> str:
    return f"{record['topic']}:{record['partition']}:{record['offset']}"


@pytest.mark.parametrize("project", [pytest.param(SHOP, id="shop")], indirect=True)
async def test_a_record_is_followed_through_retry_dead_letter_and_replay(project: Project) -> None:
    places = await write(project, 4)
    waiting = way_of(project, places[2])
    assert waiting["start"]["visits"][0]["standing"] == "not read"

    project.succeed(*RUN)
    done = second(way_of(project, places[1]))
    assert [one["by"] for one in done["outputs"]] == ["by key and time"]
    failed = second(way_of(project, places[2]))
    assert [(one["kind"], one["standing"]) for one in failed["returns"]] == [("retry", "finished")]
    [letter] = failed["dead_letters"]
    assert (letter["state"], letter["error"]) == ("open", "LookupError")

    project.succeed("dlq", "replay", "mine:pipeline", "--yes")
    sent = second(way_of(project, address_of(letter)))
    assert [one["kind"] for one in sent["returns"]] == ["retry", "replay"]
    assert sent["returns"][1]["standing"] != "finished"
    assert project.streamapp(*RUN, MENDED="1").returncode == 0

    way = way_of(project, address_of(sent["returns"][1]))
    assert address_of(way["start"]) == places[2]
    assert [len(links) for links in way["origins"]] == [1, 1]
    mended = second(way)
    assert mended["returns"][1]["standing"] == "finished"
    [output] = mended["outputs"]
    assert (output["certainty"], output["topic"]) == ("certain", f"{project.name}.out")
    told = project.succeed("trace", places[2], "mine:pipeline", "--output", "table")
    assert f"wrote, certain by its audit trail:\n            {address_of(output)}" in told
    assert "price" not in told

    refused = project.streamapp("trace", f"{project.name}.raw:0:999999", "mine:pipeline")
    assert refused.returncode == ExitCode.CONFIGURATION
    assert "there is no record at" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    groups = project.succeed("lag", "--output", "json")
    assert {one["group"] for one in json.loads(groups)["groups"]} >= {f"{project.name}.check"}
