"""Runs scenarios, each on a broker of the kind that it needs."""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamapp.local_kafka.config import BrokerOptions
from tests.torture.nodes import Nodes
from tests.torture.outcome import Outcome
from tests.torture.permissions import PROPERTIES
from tests.torture.proxy import proxied_kafka
from tests.torture.scenarios import (
    bounce,
    churn,
    crash,
    dependency,
    later,
    letters,
    network,
    outage,
    replay,
    rolling,
    zombie,
)
from tests.torture.stand import Ground
from tests.torture.watch import TooSlowError
from tests.torture.weather import Weather


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario and its sizes.

    Attributes:
        run: runs it on a broker and fills in the outcome.
        full, short: its sizes in the full and in the short form.
        mutants: planted bugs that it has to find.
        title: one line about it, for progress.
        nodes: number of nodes of the broker.
    """

    run: Callable[[Ground, Outcome, Any], Awaitable[None]]
    full: Any
    short: Any
    mutants: Sequence[str]
    title: str
    nodes: int = 1


SCENARIOS = {
    "crash": Scenario(
        crash.crash,
        crash.FULL,
        crash.SHORT,
        ("commit-early", "skip-unfinished", "unordered"),
        "workers are killed",
    ),
    "outage": Scenario(
        outage.outage, outage.FULL, outage.SHORT, ("commit-early",), "Kafka is away"
    ),
    "zombie": Scenario(
        zombie.zombie, zombie.FULL, zombie.SHORT, ("commit-early",), "workers freeze and wake"
    ),
    "churn": Scenario(
        churn.churn, churn.FULL, churn.SHORT, ("commit-early", "unordered"), "workers come and go"
    ),
    "network": Scenario(
        network.network, network.FULL, network.SHORT, ("no-ack",), "the network misbehaves"
    ),
    "bounce": Scenario(
        bounce.bounce, bounce.FULL, bounce.SHORT, ("no-ack",), "nodes go and come back", nodes=3
    ),
    "dependency": Scenario(
        dependency.dependency,
        dependency.FULL,
        dependency.SHORT,
        ("no-hold",),
        "what agents call is down",
    ),
    "endpoints": Scenario(
        dependency.endpoints,
        dependency.FULL,
        dependency.SHORT,
        ("no-hold",),
        "all members of a pool are down",
    ),
    "letters": Scenario(
        letters.letters,
        letters.FULL,
        letters.SHORT,
        ("letters-unawaited",),
        "dead letters cannot be written",
    ),
    "later": Scenario(
        later.later,
        later.FULL,
        later.SHORT,
        ("commit-early", "skip-heads", "hasty"),
        "workers are killed while records wait",
    ),
    "replay": Scenario(
        replay.replay,
        replay.FULL,
        replay.SHORT,
        ("ledger-first",),
        "who sends dead letters back is killed",
    ),
    "rolling-deployment": Scenario(
        rolling.deployment, rolling.FULL, rolling.SHORT, ("commit-early",), "a rolling restart"
    ),
    "rolling-stateful-set": Scenario(
        rolling.stateful_set, rolling.FULL, rolling.SHORT, ("commit-early",), "the same in place"
    ),
    "rolling-static": Scenario(
        rolling.static_members, rolling.FULL, rolling.SHORT, ("commit-early",), "static members"
    ),
}


@asynccontextmanager
async def ground(folder: Path, *, nodes: int) -> AsyncIterator[Ground]:
    """A small broker for scenarios: two cores have to be enough for everything."""
    weather = Weather(random.Random(1))
    # Several controllers cannot elect one before the authorizer knows its rules from the log.
    properties = PROPERTIES if nodes == 1 else {}
    options = BrokerOptions(nodes=nodes, heap_mb=320, properties=properties)
    async with proxied_kafka(folder / "broker", options, weather) as (kafka, proxies):
        yield Ground(kafka, Nodes(kafka), proxies, folder)


async def play(name: str, on: Ground, *, scale: Any, mutant: str | None = None) -> Outcome:
    """Run a scenario; failures are noted in the outcome."""
    outcome = Outcome(name, mutant)
    began = time.monotonic()
    try:
        await SCENARIOS[name].run(on, outcome, scale)
    except (TooSlowError, TimeoutError) as error:
        outcome.violations.append(str(error) or "something did not end in time")
    outcome.seconds = time.monotonic() - began
    return outcome
