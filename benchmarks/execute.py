"""What executions in process cost beside their agents, and what stands around or within a stage.

`python -m benchmarks.execute`, two minutes. CPU time of this process; all sides in turns, so that a
busy machine slows all of them. The stages pass a purchase on, so the rest is what streamapp does:
each stage decodes its input and encodes its output.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from benchmarks import agents
from benchmarks.figures import Figures, spread, write
from benchmarks.hot_path import end_of, make_log, run_segment
from benchmarks.tables import executions, surrounded
from benchmarks.testbed import machine
from streamapp.observability.execution_figures import InMemoryCollector
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.audit import Audit
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.combinators.when import when
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Stage
from streamapp.topics.topic import Topic

STAGES = 4
EXECUTIONS = 2000
RECORDS = 10_000
TARGET_US = 60.0

P = Pipeline[Any, Any]
Change = Callable[[P], P]


async def before(data: Any, stage: Stage, context: Context) -> Any:  # noqa: ARG001 - the form
    return data


async def around(data: Any, stage: Stage, context: Context, call: Call) -> Any:  # noqa: ARG001 - the form
    return await call(data)


def same(pipeline: P) -> P:
    return pipeline


def audited(pipeline: P) -> P:
    changed = pipeline.use()
    changed.audit = Audit.ALL
    return changed


CHANGES: Mapping[str, Change] = {
    "nothing more": same,
    "middleware before": lambda pipeline: pipeline.use(before),
    "middleware around": lambda pipeline: pipeline.use(around),
    "audit=all": audited,
    "a collector": lambda pipeline: pipeline.collect(InMemoryCollector()),
}


def pricing(used: Agent[Any, Any], **settings: Any) -> Change:
    """One stage with this agent instead of the benchmark's own."""

    def changed(pipeline: P) -> P:
        made: P = Pipeline(pipeline.name, source=pipeline.sources)
        return made.stage(used, dead_letters="out.dlq", **settings).sink("out")

    return changed


def priced_again(purchase: agents.Purchase) -> agents.PricedPurchase:
    """A second agent that does the same."""
    return agents.price(purchase)


def is_large(purchase: agents.Purchase) -> bool:
    return purchase.quantity > agents.LARGE_CENTS


def country_of(purchase: agents.Purchase) -> str:
    """A second branch that costs next to nothing."""
    return purchase.country


def priced_of(
    _: agents.Purchase,
    priced: agents.PricedPurchase,
    country: str,  # noqa: ARG001 - the form
) -> agents.PricedPurchase:
    """Take what the first branch gave."""
    return priced


def compositions() -> Mapping[str, Change]:
    """The agent of the benchmark without its breaker, and as a part of each combinator."""
    price, second = agent(name="price")(agents.price), agent(name="second")(priced_again)
    confirm = agent(name="confirm")(agents.pass_on)
    country = agent(name="country")(country_of)
    return {
        "no breaker": pricing(price, breaker=None),
        "a choice of two": pricing(choose(when(is_large, second), otherwise=price)),
        "a fallback of two": pricing(fallback(price, second)),
        "a chain of two": pricing(chain(price, confirm)),
        "two branches and a join": pricing(parallel(price, country).join(priced_of)),
        "a pool of two": pricing(pool(price, second, capacity=64)),
    }


def four_stages(*, fused: bool = False) -> P:
    """Four plain stages that pass purchases on."""
    pipeline: P = Pipeline("bench", source=Topic("source", agents.PricedPurchase))
    for i in range(STAGES):
        step = agent(name=f"s{i}")(agents.pass_on)
        pipeline = pipeline.stage(step, fused=fused and i > 0)
    return pipeline


PURCHASE = agents.PricedPurchase(
    purchase_id=1,
    customer_id="c1",
    sequence=1,
    bought_at_ms=1_700_000_000_000,
    product_id="p1",
    country="CH",
    currency="CHF",
    quantity=2,
    unit_price_cents=995,
    comment="x" * 60,
    total_cents=1990,
    is_large=False,
)


async def agents_alone() -> None:
    """What the four agents themselves take."""
    for _ in range(EXECUTIONS):
        value = PURCHASE
        for _ in range(STAGES):
            value = agents.pass_on(value)


def executing(pipeline: P) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        async with pipeline.executor() as executor:
            for _ in range(EXECUTIONS):
                await executor.execute(PURCHASE)

    return run


async def executed_singly() -> None:
    pipeline = four_stages()
    for _ in range(EXECUTIONS):
        await pipeline.execute(PURCHASE)


def in_process() -> Mapping[str, Callable[[], Awaitable[None]]]:
    sides = {name: executing(change(four_stages())) for name, change in CHANGES.items()}
    return {
        "agents alone": agents_alone,
        **sides,
        "fused": executing(four_stages(fused=True)),
        "execute, one by one": executed_singly,
    }


def in_a_segment() -> Mapping[str, Callable[[], Awaitable[None]]]:
    """One stage of the runtime, without sockets."""
    log = make_log(RECORDS)

    def running(change: Change) -> Callable[[], Awaitable[None]]:
        return lambda: run_segment(log, "sync", change=change)

    assert sum(map(end_of, log.values())) == RECORDS  # noqa: S101 - what is divided by
    return {name: running(change) for name, change in {**CHANGES, **compositions()}.items()}


def measured(
    sides: Mapping[str, Callable[[], Awaitable[None]]], rounds: int, each: int
) -> dict[str, Figures]:
    """Microseconds of CPU time for each execution or record."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, run in sides.items():
            started = time.process_time()
            asyncio.run(run())  # type: ignore[arg-type]  # each is a coroutine
            if i:  # the first round warms up
                spent[name].append((time.process_time() - started) / each * 1e6)
    return {name: spread(times) for name, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    described = machine()
    figures = {
        "in_process": measured(in_process(), arguments.rounds, EXECUTIONS),
        "in_a_segment": measured(in_a_segment(), arguments.rounds, RECORDS),
    }
    write("execute", "python -m benchmarks.execute", described, target_us=TARGET_US, **figures)
    print(executions(), surrounded(), sep="\n\n")


if __name__ == "__main__":
    main()
