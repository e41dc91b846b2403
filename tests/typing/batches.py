"""Every shape of function that `@batch_agent` takes, pinned by `assert_type`."""

from collections.abc import Awaitable, Sequence
from typing import assert_type

from streamapp.pipeline.agent import Agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import Topic
from tests.typing.shapes import A, B, back, plain


@batch_agent(size=10)
def bare(values: list[A]) -> list[B]:
    return [B(value.n) for value in values]


@batch_agent(size=10)
def or_exception(values: list[A]) -> list[B | Exception]:
    return [B(value.n) if value.n else ValueError("zero") for value in values]


@batch_agent(size=10)
def or_none(values: list[A]) -> list[B | None]:
    return [B(value.n) if value.n else None for value in values]


@batch_agent(size=10)
def or_anything(values: list[A]) -> list[B | Exception | None]:
    return [B(value.n) if value.n else None for value in values]


@batch_agent(size=10)
def outs(values: list[A]) -> list[Out[B] | Exception]:
    return [Out(B(value.n), key="k") for value in values]


@batch_agent(size=10)
def outs_or_none(values: list[A]) -> list[Out[B] | None]:
    return [Out(B(value.n)) if value.n else None for value in values]


@batch_agent(size=10)
def lists(values: list[A]) -> list[list[B] | Exception]:
    return [[B(value.n)] for value in values]


@batch_agent(size=10)
def lists_of_outs(values: list[A]) -> list[list[Out[B]]]:
    return [[Out(B(value.n))] for value in values]


@batch_agent(size=10)
def sequences(values: Sequence[A]) -> Sequence[B]:
    return [B(value.n) for value in values]


@batch_agent(size=10)
def with_contexts(values: list[A], contexts: list[Context]) -> list[B | Exception]:
    return [B(value.n + context.attempt) for value, context in zip(values, contexts, strict=True)]


@batch_agent(size=10)
def outs_with_contexts(values: list[A], contexts: list[Context]) -> list[Out[B]]:
    return [Out(B(v.n), key=context.key) for v, context in zip(values, contexts, strict=True)]


@batch_agent(size=10)
async def awaitable(values: list[A]) -> list[B]:
    return [B(value.n) for value in values]


@batch_agent(size=10)
async def awaitable_or_exception(values: list[A]) -> list[B | Exception]:
    return [B(value.n) for value in values]


@batch_agent(size=10)
async def awaitable_or_anything(values: list[A]) -> list[B | Exception | None]:
    return [B(value.n) for value in values]


@batch_agent(size=10)
async def awaitable_outs(values: list[A]) -> list[Out[B] | Exception | None]:
    return [Out(B(value.n)) for value in values]


@batch_agent(size=10)
async def awaitable_lists(values: list[A]) -> list[list[B] | Exception]:
    return [[B(value.n)] for value in values]


@batch_agent(size=10)
async def awaitable_lists_of_outs(values: list[A]) -> list[list[Out[B]] | Exception]:
    return [[Out(B(value.n))] for value in values]


@batch_agent(size=10)
async def awaitable_with_contexts(values: list[A], contexts: list[Context]) -> list[B | Exception]:
    return [B(value.n + len(contexts)) for value in values]


@batch_agent(size=10)
async def awaitable_outs_with_contexts(
    values: list[A], contexts: list[Context]
) -> list[Out[B] | Exception]:
    return [Out(B(value.n + len(contexts))) for value in values]


@batch_agent(size=10)
def returned_awaitable(values: list[A]) -> Awaitable[list[B | Exception]]:
    return awaitable_or_exception(values)  # type: ignore[no-any-return]  # called like its function


@batch_agent(size=10)
def sink_only(values: list[A]) -> None:
    del values


@batch_agent(size=10)
async def awaitable_sink_only(values: list[A], contexts: list[Context]) -> None:
    del values, contexts


@batch_agent(size=10)
async def sink_of_each(values: list[A]) -> list[Exception | None]:
    return [None for _ in values]


@batch_agent(size=10)
def of_tombstones(values: list[A | None]) -> list[Out[B | None]]:
    return [Out(None if value is None else B(value.n)) for value in values]


@batch_agent(
    size=100,
    linger_seconds=0.5,
    name="named",
    capabilities=[Capability.DATA_ENRICHMENT],
    blocking=True,
)
def with_settings(values: list[A]) -> list[B]:
    return [B(value.n) for value in values]


class Lookup:
    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def __call__(self, values: list[A]) -> list[B | Exception]:
        return [B(value.n) for value in values]


lookup = batch_agent(size=10)(Lookup())

assert_type(bare, Agent[A, B])
assert_type(or_exception, Agent[A, B])
assert_type(or_none, Agent[A, B])
assert_type(or_anything, Agent[A, B])
assert_type(outs, Agent[A, B])
assert_type(outs_or_none, Agent[A, B])
assert_type(lists, Agent[A, B])
assert_type(lists_of_outs, Agent[A, B])
assert_type(sequences, Agent[A, B])
assert_type(with_contexts, Agent[A, B])
assert_type(outs_with_contexts, Agent[A, B])
assert_type(awaitable, Agent[A, B])
assert_type(awaitable_or_exception, Agent[A, B])
assert_type(awaitable_or_anything, Agent[A, B])
assert_type(awaitable_outs, Agent[A, B])
assert_type(awaitable_lists, Agent[A, B])
assert_type(awaitable_lists_of_outs, Agent[A, B])
assert_type(awaitable_with_contexts, Agent[A, B])
assert_type(awaitable_outs_with_contexts, Agent[A, B])
assert_type(returned_awaitable, Agent[A, B])
assert_type(sink_only, Agent[A, None])
assert_type(awaitable_sink_only, Agent[A, None])
assert_type(of_tombstones, Agent[A | None, B | None])
assert_type(with_settings, Agent[A, B])
assert_type(lookup, Agent[A, B])

start = Pipeline("p", source=Topic("a", A))
assert_type(start.stage(awaitable_or_exception).sink("b"), Pipeline[A, B])
assert_type(start.stage(plain).stage(back).stage(outs).sink(Topic("b", B)), Pipeline[A, B])
