"""Scenarios of agents that take batches: in process, each batch is of one."""

import asyncio
from typing import Any

from streamapp.errors import Permanent
from streamapp.pipeline.batch_agent import BatchAgentDecorator, batch_agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call
from streamapp.pipeline.out import Out
from streamapp.pipeline.stage import Stage
from streamapp.policies.policy import drop, retry, skip, stop
from streamapp.topics.topic import Topic
from tests.contract.pipelines import Item
from tests.contract.scenarios import (
    AT_ONCE,
    EXHAUSTED,
    LETTER,
    RETRY,
    Scenario,
    marking,
    noting,
    numbers,
    one,
    then,
    using,
)


def together(size: int = 4, *, blocking: bool = False) -> BatchAgentDecorator:
    return batch_agent(size=size, linger_seconds=0.05, name="batched", blocking=blocking)


@together()
async def batched(items: list[Item]) -> list[Item]:
    await asyncio.sleep(0.001)
    for item in items:
        item.text += "+"
    return items


@together(size=3)
def plain(items: list[Item]) -> list[Item]:
    for item in items:
        item.text += "+"
    return items


@together(blocking=True)
def blocking(items: list[Item]) -> list[Item]:
    return [Item(n=item.n, text="+") for item in items]


@together()
def odd_only(items: list[Item]) -> list[Item | None]:
    return [item if item.n % 2 else None for item in items]


@together()
def doubled(items: list[Item]) -> list[list[Item]]:
    return [[item, Item(n=item.n, text="again")] for item in items]


@together()
def rekeyed(items: list[Item]) -> list[Out[Item]]:
    return [Out(item, key=f"new{item.n}", headers=[("own", b"1")]) for item in items]


@together()
def routed(items: list[Item]) -> list[Out[Item]]:
    return [Out(item, to="late" if item.n == 2 else None) for item in items]


@together()
async def one_fails(items: list[Item]) -> list[Item | Exception]:
    return [ValueError("two") if item.n == 2 else item for item in items]


@together()
async def one_is_permanent(items: list[Item]) -> list[Item | Exception]:
    return [Permanent("never") if item.n == 2 else item for item in items]


@together()
async def all_fail(items: list[Item]) -> list[Item]:
    if any(item.n == 2 for item in items):
        raise ValueError("two")
    return items


@together()
async def all_fail_by_the_world(items: list[Item]) -> list[Item]:
    if any(item.n == 2 for item in items):
        raise OSError("two")
    return items


@together()
async def endless(items: list[Item]) -> list[Item]:
    await asyncio.sleep(60 if any(item.n == 2 for item in items) else 0)
    return items


@together()
async def cancelling(items: list[Item]) -> list[Item]:
    if any(item.n == 2 for item in items):
        raise asyncio.CancelledError
    return items


@together()
def without_even(items: list[Item]) -> list[Item]:
    return [item for item in items if item.n % 2]


@together()
def busy(items: list[Item], contexts: list[Context]) -> list[Item | Exception]:
    """Fail at the first two attempts on the number 2."""
    results: list[Item | Exception] = []
    for item, context in zip(items, contexts, strict=True):
        context.metadata["tried"] = context.attempt
        fails = item.n == 2 and context.attempt <= 2
        results.append(OSError("busy") if fails else Item(n=item.n, text="+"))
    return results


@together()
def unwritable(items: list[Item]) -> list[Item]:
    return [Item.model_construct(n="two" if i.n == 2 else i.n, text="") for i in items]  # type: ignore[arg-type]  # on purpose


@together()
async def stored(items: list[Item]) -> None:
    if any(item.n == 2 for item in items):
        raise ValueError("two")


async def wrapping(data: Item, stage: Stage, context: Context, call: Call) -> Any:
    """Replace what fails for good."""
    context.metadata["seen"] = data.n
    try:
        return await call(data)
    except ValueError:
        return Item(n=data.n, text=f"replaced at {stage.stage_id}")


BATCHED = [
    Scenario("batches", one(batched), outputs=numbers("+")),
    Scenario("batches of a plain agent", one(plain), outputs=numbers("+")),
    Scenario("batches of a blocking agent", one(blocking), outputs=numbers("+")),
    Scenario("a filter of batches", one(odd_only), outputs=[(1, ""), (3, "")]),
    Scenario("lists of a batch", one(doubled), outputs=[*numbers(), *numbers("again")]),
    Scenario("other keys and headers of a batch", one(rekeyed), outputs=numbers()),
    Scenario(
        "a route of a batch",
        lambda p: p.stage(routed, name="s", routes={"late": Topic(f"{p.name}.late", Item)}),
        outputs=numbers(without=2),
        routed=[(2, "")],
    ),
    Scenario("one of a batch fails", one(one_fails), outputs=numbers(without=2), letters=LETTER),
    Scenario("one of a batch is skipped", one(one_fails, skip()), outputs=numbers()),
    Scenario("one of a batch is dropped", one(one_fails, drop()), outputs=numbers(without=2)),
    Scenario("one of a batch stops", one(one_fails, stop()), [2], stopped_by="s"),
    Scenario(
        "one of a batch is retried",
        one(one_fails, RETRY),
        outputs=numbers(without=2),
        letters=EXHAUSTED,
    ),
    Scenario(
        "one of a batch is at fault",
        one(one_is_permanent, RETRY),
        outputs=numbers(without=2),
        letters=[("s", "permanent")],
    ),
    Scenario("a batch that fails", one(all_fail), outputs=numbers(without=2), letters=LETTER),
    Scenario(
        "a batch that fails, with retries",
        one(all_fail, RETRY),
        outputs=numbers(without=2),
        letters=EXHAUSTED,
    ),
    Scenario(
        "a batch that fails through the world",
        one(all_fail_by_the_world, RETRY, breaker=None),
        outputs=numbers(without=2),
        letters=EXHAUSTED,
    ),
    Scenario(
        "a batch that fails, then skip",
        one(all_fail, retry(1, then=skip(), backoff=AT_ONCE)),
        outputs=numbers(),
    ),
    Scenario(
        "a batch that takes too long",
        one(endless, timeout_seconds=0.05),
        outputs=numbers(without=2),
        letters=[("s", "timeout")],
    ),
    Scenario(
        "a batch that cancels itself", one(cancelling), outputs=numbers(without=2), letters=LETTER
    ),
    Scenario(
        "too few results of a batch",
        one(without_even, RETRY),
        outputs=[(1, ""), (3, "")],
        letters=[("s", "output")] * 2,
    ),
    Scenario(
        "contexts and retries of a batch",
        lambda p: p.stage(busy, name="s", on_error=RETRY).stage(noting),
        outputs=[
            (2, "tried=3|s:3|dependency,dependency"),
            *((n, "tried=1||") for n in (0, 1, 3)),
        ],
    ),
    Scenario(
        "an output of a batch that cannot be written",
        one(unwritable, RETRY),
        outputs=numbers(without=2),
        letters=[("s", "output")],
    ),
    Scenario("a batch without outputs", one(stored), letters=LETTER),
    *(
        Scenario(
            f"batches, and a stage {'fused' if fused else 'with a topic between'}",
            then(batched, doubled if not fused else noting, fused=fused),
            outputs=numbers("||") if fused else [*numbers("+"), *numbers("again")],
        )
        for fused in (False, True)
    ),
    Scenario("middleware before batches", using(one(batched), marking), outputs=numbers("<s1>+")),
    Scenario(
        "middleware around batches",
        using(one(all_fail), wrapping),
        outputs=[*numbers(without=2), (2, "replaced at s")],
    ),
]
