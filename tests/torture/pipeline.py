"""The pipelines under test: one stage that waits a little, or asks endpoints, and passes on.

`streamapp run tests.torture.pipeline:pipeline` runs one under the name in `TORTURE_NAME`.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from pydantic import BaseModel

from streamapp.errors import Permanent
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Ordering
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import DeadLetterBudget
from streamapp.policies.policy import Policy, retry_later
from streamapp.topics.topic import Topic
from tests.endpoints import Caller

NAME_VARIABLE = "TORTURE_NAME"
WAIT_VARIABLE = "TORTURE_WAIT_MS"
ORDERING_VARIABLE = "TORTURE_ORDERING"
URLS_VARIABLE = "TORTURE_URLS"
HOLD_VARIABLE = "TORTURE_HOLD"
DELAYS_VARIABLE = "TORTURE_DELAYS"

STAGE = "work"
PIPELINE = "tests.torture.pipeline:pipeline"
POISONED = "tests.torture.pipeline:poisoned"
ASKING = "tests.torture.pipeline:asking"
POOLED = "tests.torture.pipeline:pooled"
PATIENT = "tests.torture.pipeline:patient"

ATTEMPT_LINE = "attempt "
"""Begins the lines in which the pipeline with retries later tells its attempts, as JSON."""

ASK_SECONDS = 1.0
"""How long a member of the pool may take."""

_MEMBER_CAPACITY = 16
_FOR_EVER = 1_000


class Item(BaseModel):
    """A record of the feeder."""

    id: int


class Done(BaseModel):
    """The same record after the stage, with the id of the process."""

    id: int
    pid: int


def is_poison(number: int) -> bool:
    """Whether a record of this id is at fault in the pipeline with poison: one of ten is."""
    return number % 10 == 3


@agent
async def work(item: Item) -> Done:
    """Wait for 0.5 to 1.5 of `TORTURE_WAIT_MS`, so that records overtake their neighbours."""
    wait_seconds = float(os.environ.get(WAIT_VARIABLE, "5")) / 1000
    await asyncio.sleep(wait_seconds * (0.5 + (item.id * 7919 % 101) / 100))
    return Done(id=item.id, pid=os.getpid())


@agent
async def work_or_refuse(item: Item) -> Done:
    """The same, but poison is refused at the end of it."""
    done: Done = await work(item)
    if is_poison(item.id):
        raise Permanent("poison")
    return done


def failures_of(number: int) -> int:
    """How often a record of this id fails in the pipeline with retries later.

    One of ten fails at all: two of five once, two twice, and one for ever.
    """
    return (1, 1, 2, 2, _FOR_EVER)[number // 10 % 5] if number % 10 == 3 else 0


@agent
async def work_or_fail(item: Item, context: Context) -> Done:
    """The same, but some fail at first; their attempts are told when they end."""
    began_ms = _now_ms()
    done: Done = await work(item)
    failures = failures_of(item.id)
    if failures:
        told = {"id": item.id, "attempt": context.attempt, "from": began_ms, "to": _now_ms()}
        sys.stdout.write(f"{ATTEMPT_LINE}{json.dumps(told)}\n")
    if context.attempt <= failures:
        raise LookupError("not yet")
    return done


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Ask(Caller):
    """Ask an endpoint."""

    async def __call__(self, item: Item) -> Done:
        """Pass on what it answers."""
        return Done(id=await self.ask(item.id), pid=os.getpid())


def pipeline() -> Pipeline[Any, Any]:
    """The pipeline that waits, under the name that is in the environment."""
    return _of(work)


def poisoned() -> Pipeline[Any, Any]:
    """The pipeline that refuses one record of ten."""
    return _of(work_or_refuse)


def asking() -> Pipeline[Any, Any]:
    """The pipeline that asks the endpoint in `TORTURE_URLS`."""
    [url] = _urls()
    return _of(agent(name="ask")(Ask(url)))


def pooled() -> Pipeline[Any, Any]:
    """The pipeline that asks one of the endpoints in `TORTURE_URLS`."""
    members: list[Agent[Item, Done]] = [
        branch(agent(name=f"ask-{number}")(Ask(url)), timeout_seconds=ASK_SECONDS)
        for number, url in enumerate(_urls())
    ]
    return _of(pool(*members, capacity=_MEMBER_CAPACITY, name="ask"))


def patient() -> Pipeline[Any, Any]:
    """The pipeline whose failing records wait for the delays in `TORTURE_DELAYS`."""
    delays = [float(seconds) for seconds in os.environ[DELAYS_VARIABLE].split()]
    return _of(work_or_fail, on_error=retry_later(delays))


def _urls() -> list[str]:
    return os.environ[URLS_VARIABLE].split()


def _of(step: Agent[Item, Done], on_error: Policy | None = None) -> Pipeline[Any, Any]:
    name = os.environ[NAME_VARIABLE]
    ordering = Ordering(os.environ.get(ORDERING_VARIABLE, "key"))
    holds = os.environ.get(HOLD_VARIABLE, "on") == "on"
    return (
        Pipeline(name, source=Topic(f"{name}.in", Item))
        .stage(
            step,
            name=STAGE,
            on_error=on_error,
            concurrency=64,
            ordering=ordering,
            breaker=BreakerConfig() if holds else None,
            dead_letter_budget=DeadLetterBudget() if holds else None,
        )
        .sink(f"{name}.out")
    )
