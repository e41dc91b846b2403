"""Every shape of function that `@agent` takes, pinned by `assert_type`: mypy checks this file."""

from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from dataclasses import dataclass
from typing import assert_type

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import dead_letter, drop, retry
from streamapp.topics.topic import Topic


@dataclass
class A:
    n: int


@dataclass
class B:
    n: int


@agent
def plain(value: A) -> B:
    return B(value.n)


@agent
def plain_or_none(value: A) -> B | None:
    return B(value.n) if value.n else None


@agent
def plain_out(value: A) -> Out[B]:
    return Out(B(value.n), key="k")


@agent
def plain_out_or_none(value: A) -> Out[B] | None:
    return Out(B(value.n)) if value.n else None


@agent
def plain_list(value: A) -> list[B]:
    return [B(value.n)]


@agent
def plain_list_of_outs(value: A) -> list[Out[B]]:
    return [Out(B(value.n))]


@agent
def iterator(value: A) -> Iterator[B]:
    yield B(value.n)


@agent
def iterator_of_outs(value: A) -> Iterator[Out[B]]:
    yield Out(B(value.n))


@agent
def generator(value: A) -> Generator[B, None, None]:
    yield B(value.n)


@agent
def returned_awaitable(value: A) -> Awaitable[B | None]:
    return lookup(value)  # type: ignore[no-any-return]  # an agent is called like its function


@agent
async def awaitable(value: A) -> B:
    return B(value.n)


@agent
async def awaitable_or_none(value: A) -> B | None:
    return B(value.n) if value.n else None


@agent
async def awaitable_out(value: A) -> Out[B]:
    return Out(B(value.n))


@agent
async def awaitable_list(value: A) -> list[B]:
    return [B(value.n)]


@agent
async def awaitable_list_of_outs(value: A) -> list[Out[B]]:
    return [Out(B(value.n))]


@agent
async def async_iterator(value: A) -> AsyncIterator[B]:
    yield B(value.n)


@agent
async def async_iterator_of_outs(value: A) -> AsyncIterator[Out[B]]:
    yield Out(B(value.n))


@agent
def plain_with_context(value: A, context: Context) -> B:
    return B(value.n + context.attempt)


@agent
def list_of_outs_with_context(value: A, context: Context) -> list[Out[B]]:
    return [Out(B(value.n), key=context.key)]


@agent
def iterator_with_context(value: A, context: Context) -> Iterator[B]:
    yield B(value.n + context.attempt)


@agent
async def awaitable_with_context(value: A, context: Context) -> B | None:
    return B(value.n + context.attempt)


@agent
async def awaitable_out_with_context(value: A, context: Context) -> Out[B]:
    return Out(B(value.n), key=context.key)


@agent
async def async_iterator_with_context(value: A, context: Context) -> AsyncIterator[Out[B]]:
    yield Out(B(value.n), key=context.key)


@agent(name="named", capabilities=[Capability.DATA_VALIDATION])
def with_settings(value: A) -> B:
    return B(value.n)


class Lookup:
    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def __call__(self, value: A) -> B:
        return B(value.n)


lookup = agent(Lookup())
lookup_with_settings = agent(capabilities=[Capability.DATA_ENRICHMENT])(Lookup())


@agent
def back(value: B) -> A:
    return A(value.n)


@agent
def of_tombstones(value: A | None) -> B | None:
    return None if value is None else B(value.n)


@agent
def tombstones(value: A | None) -> Out[B | None]:
    return Out(None if value is None else B(value.n))


@agent
def perhaps_tombstones(value: A | None, context: Context) -> Out[B | None] | None:
    return Out(None, key=context.key) if value is None else None


@agent
def list_of_tombstones(value: A) -> list[Out[B | None]]:
    return [Out(None, key="old"), Out(B(value.n), key="new")]


@agent
def iterator_of_tombstones(value: A | None) -> Iterator[Out[B | None]]:
    yield Out(None if value is None else B(value.n))


@agent
async def awaitable_tombstones(value: A | None) -> Out[B | None]:
    return Out(None if value is None else B(value.n))


@agent
async def async_iterator_of_tombstones(value: A | None) -> AsyncIterator[Out[B | None]]:
    yield Out(None if value is None else B(value.n))


@agent
def back_of_tombstones(value: B | None) -> Out[A | None]:
    return Out(None if value is None else A(value.n))


@agent
def sink_only(value: A) -> None:
    del value


assert_type(plain, Agent[A, B])
assert_type(plain_or_none, Agent[A, B])
assert_type(plain_out, Agent[A, B])
assert_type(plain_out_or_none, Agent[A, B])
assert_type(plain_list, Agent[A, B])
assert_type(plain_list_of_outs, Agent[A, B])
assert_type(iterator, Agent[A, B])
assert_type(iterator_of_outs, Agent[A, B])
assert_type(generator, Agent[A, B])
assert_type(returned_awaitable, Agent[A, B])
assert_type(awaitable, Agent[A, B])
assert_type(awaitable_or_none, Agent[A, B])
assert_type(awaitable_out, Agent[A, B])
assert_type(awaitable_list, Agent[A, B])
assert_type(awaitable_list_of_outs, Agent[A, B])
assert_type(async_iterator, Agent[A, B])
assert_type(async_iterator_of_outs, Agent[A, B])
assert_type(plain_with_context, Agent[A, B])
assert_type(list_of_outs_with_context, Agent[A, B])
assert_type(iterator_with_context, Agent[A, B])
assert_type(awaitable_with_context, Agent[A, B])
assert_type(awaitable_out_with_context, Agent[A, B])
assert_type(async_iterator_with_context, Agent[A, B])
assert_type(with_settings, Agent[A, B])
assert_type(lookup, Agent[A, B])
assert_type(lookup_with_settings, Agent[A, B])
assert_type(of_tombstones, Agent[A | None, B])
assert_type(tombstones, Agent[A | None, B | None])
assert_type(perhaps_tombstones, Agent[A | None, B | None])
assert_type(list_of_tombstones, Agent[A, B | None])
assert_type(iterator_of_tombstones, Agent[A | None, B | None])
assert_type(awaitable_tombstones, Agent[A | None, B | None])
assert_type(async_iterator_of_tombstones, Agent[A | None, B | None])

start = Pipeline("p", source=Topic("a", A))
assert_type(start, Pipeline[A, A])
assert_type(start.stage(plain), Pipeline[A, B])
assert_type(start.stage(plain).stage(back, on_error=retry(2, then=drop())), Pipeline[A, A])
assert_type(start.stage(plain, ordering="key").sink("b"), Pipeline[A, B])
assert_type(start.stage(plain, on_error=dead_letter()).sink(Topic("b", B)), Pipeline[A, B])
assert_type(start.stage(of_tombstones), Pipeline[A, B])
assert_type(start.stage(tombstones).stage(back_of_tombstones), Pipeline[A, A | None])
assert_type(start.stage(tombstones).sink("b"), Pipeline[A, B | None])
assert_type(start.stage(tombstones).sink(Topic("b", B | None)), Pipeline[A, B | None])
