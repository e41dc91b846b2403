"""What the agents of assembled pipelines do is measured, and remembered after a restart."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamapp.clock import SystemClock
from streamapp.registry.assemble import Assembled
from streamapp.registry.figures import Score
from streamapp.registry.score_file import ScoreFile
from streamapp.registry.scores import Scores
from tests.unit.reassembly.shop import (
    Pricer,
    assembled,
    order,
    prices,
    registry_of,
    shop_broker,
    shop_service,
)
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import in_virtual_time


def told(score: Score, name: str) -> str:
    return next(one.told for one in score.figures if one.name == name)


def score_of(made: Assembled, scores: Scores, agent_id: str) -> Score:
    return scores.score(made.registry.get(agent_id))


@pytest.mark.parametrize("fused", [False, True])
@in_virtual_time
async def test_calls_their_duration_and_the_state_are_measured(fused: bool) -> None:
    broker = await shop_broker()
    scores = Scores(clock=broker.clock)
    made = assembled(registry_of("a"), scores, fused=fused)
    service = shop_service(broker, made)
    Pricer.waits = 0.25
    async with running(service):
        await order(broker, range(40))
        await until(lambda: len(prices(broker)) == 40)
        await asyncio.sleep(6)
        checks, priced = (step.scores[0] for step in service.chains[0].steps)
    assert told(checks, "success_rate") == told(priced, "success_rate") == "100.0% of 40 calls"
    assert (told(checks, "latency"), told(priced, "latency")) == (
        "0.000 s a call",
        "0.250 s a call",
    )
    assert told(priced, "load") == "0 of 32 calls at a time"
    assert told(priced, "availability") == "breaker closed"


@in_virtual_time
async def test_failures_of_records_are_not_blamed_on_agents_and_those_of_the_world_are() -> None:
    broker = await shop_broker()
    scores = Scores(clock=broker.clock)
    made = assembled(registry_of("a"), scores)
    service = shop_service(broker, made)
    async with running(service):
        await broker.write("orders", (b"k", b"no JSON"), (b"k", b"{}"))
        await order(broker, range(20))
        await until(lambda: len(prices(broker)) == 20)
        Pricer.down = {"a"}
        await order(broker, range(20, 60))
        await asyncio.sleep(30)
        checks, priced = (step.scores[0] for step in service.chains[0].steps)
    assert told(checks, "success_rate").startswith("100.0% of ")
    assert not told(priced, "success_rate").startswith("100")
    assert told(priced, "availability") in ("breaker open", "breaker half_open")


QUICKLY: dict[str, Any] = {"check_seconds": 0.02, "save_seconds": 0.02, "open_seconds": 0.1}
"""On a real clock, since the file is written in a thread."""


async def run_once(
    broker: FaultyBroker, folder: Path, numbers: range
) -> tuple[str, Mapping[str, str]]:
    """A worker that starts with what the file has, and works on some orders.

    Returns:
        Who was chosen to price them, and what the file says of the calls of each agent then.
    """
    file, scores = ScoreFile(folder), Scores()
    await asyncio.to_thread(file.load, scores)
    made = assembled(registry_of("a", "b"), scores)
    service = shop_service(broker, made, score_file=file, **QUICKLY)
    async with running(service):
        await order(broker, numbers)
        await until(lambda: len(prices(broker)) == numbers.stop)
    known = Scores()
    await asyncio.to_thread(file.load, known)
    rates = {one: told(score_of(made, known, one), "success_rate") for one in ("a", "b")}
    return made.members[1][0], rates


async def test_a_restart_remembers_who_was_down_and_chooses_another(tmp_path: Path) -> None:
    broker = await shop_broker(clock=SystemClock())
    Pricer.down = {"a"}
    chosen, rates = await run_once(broker, tmp_path, range(50))
    assert chosen == "a"
    assert rates["a"].startswith("0.0% of ")
    assert rates["b"] == "100.0% of 50 calls"
    chosen, rates = await run_once(broker, tmp_path, range(50, 100))
    assert chosen == "b"
    assert rates["a"].startswith("0.0% of ")
    assert rates["b"] == "100.0% of 100 calls"


async def test_a_folder_that_cannot_be_written_ends_nothing_and_loses_no_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await shop_broker(clock=SystemClock())
    folder = tmp_path / "state"
    folder.write_text("")
    file, scores = ScoreFile(folder), Scores()
    made = assembled(registry_of("a"), scores)
    service = shop_service(broker, made, score_file=file, **QUICKLY)
    async with running(service):
        await order(broker, range(20))
        await until(lambda: len(prices(broker)) == 20)
        await until(lambda: "scores cannot be kept in" in caplog.text)
        folder.unlink()
    assert caplog.text.count("scores cannot be kept in") == 1
    known = Scores()
    await asyncio.to_thread(file.load, known)
    assert told(score_of(made, known, "a"), "success_rate") == "100.0% of 20 calls"
