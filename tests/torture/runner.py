"""Runs scenarios, each on a broker of the kind that it asks for."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamapp.brokers.dev.config import BrokerOptions
from tests.kafka import Kafka
from tests.torture.outcome import Outcome
from tests.torture.scenarios import crash, outage
from tests.torture.watch import TooSlowError


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario and its sizes.

    Attributes:
        run: plays it on a broker and fills in the outcome.
        full, short: how much of it.
        mutants: planted bugs that it has to find.
        title: one line for progress.
        nodes: how many the broker has.
    """

    run: Callable[[Kafka, Path, Outcome, Any], Awaitable[None]]
    full: Any
    short: Any
    mutants: Sequence[str]
    title: str
    nodes: int = 1


SCENARIOS = {
    "crash": Scenario(
        crash.crash, crash.FULL, crash.SHORT, ("commit-early", "unordered"), "workers are killed"
    ),
    "outage": Scenario(
        outage.outage, outage.FULL, outage.SHORT, ("commit-early", "no-ack"), "Kafka is away"
    ),
}


def broker_options(scenario: Scenario) -> BrokerOptions:
    """The broker that a scenario needs: small nodes, two cores have to do for all of them."""
    return BrokerOptions(nodes=scenario.nodes, heap_mb=320)


async def play(
    name: str, kafka: Kafka, folder: Path, *, scale: Any, mutant: str | None = None
) -> Outcome:
    """Play a scenario; what goes wrong is in the outcome."""
    outcome = Outcome(name, mutant)
    began = time.monotonic()
    try:
        await SCENARIOS[name].run(kafka, folder, outcome, scale)
    except (TooSlowError, TimeoutError) as error:
        outcome.violations.append(str(error) or "something did not end in time")
    outcome.seconds = time.monotonic() - began
    return outcome
