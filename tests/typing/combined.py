"""What combinators make of agents, pinned by `assert_type`: mypy and pyright check this file."""

from dataclasses import dataclass
from typing import assert_type

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.branches import Branches, parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.combinators.when import When, when
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import retry
from streamapp.topics.topic import Topic
from tests.typing.shapes import A, B, back, plain, plain_or_none


@dataclass
class C:
    n: int


@agent
def name(value: A) -> str:
    return str(value.n)


@agent
async def number(value: A) -> int:
    return value.n


@agent
def other(value: A) -> C:
    return C(value.n)


def merge(value: A, title: str, region: int) -> B:
    return B(value.n + region + len(title))


async def merge_later(value: A, title: str, region: int) -> B | None:
    return merge(value, title, region)


def merge_out(value: A, title: str, region: int) -> Out[B]:
    return Out(merge(value, title, region), key=title)


async def merge_out_later(value: A, title: str, region: int) -> Out[B] | None:
    return merge_out(value, title, region)


def merge_maybe(value: A, title: str | None, region: int) -> B:
    return merge(value, title or "", region)


def merge_all(  # noqa: PLR0917 - as many as there are overloads
    value: A, a: str, b: int, c: str, d: int, e: str, f: int, g: str, h: int
) -> B:
    return B(value.n + len(a + c + e + g) + b + d + f + h)


def is_even(value: A) -> bool:
    return value.n % 2 == 0


def is_retried(value: A, context: Context) -> bool:
    return value.n > 0 and context.attempt > 1


def has_many(value: B) -> bool:
    return value.n > 1


assert_type(parallel(name), Branches[A, str])
assert_type(parallel(name, number), Branches[A, str, int])
assert_type(parallel(name, number).join(merge), Agent[A, B])
assert_type(parallel(name, number).join(merge_later), Agent[A, B])
assert_type(parallel(name, number).join(merge_out), Agent[A, B])
assert_type(parallel(name, number).join(merge_out_later), Agent[A, B])
assert_type(
    parallel(name, number).join(lambda value, title, region: C(value.n), output_type=C),  # noqa: ARG005 - their types are what matters
    Agent[A, C],
)
assert_type(
    parallel(name, number, name, number, name, number, name, number).join(merge_all), Agent[A, B]
)

assert_type(branch(name), Agent[A, str])
assert_type(branch(number, timeout_seconds=1, retry=retry(2)), Agent[A, int])
assert_type(branch(name, default="?"), Agent[A, str])
assert_type(branch(name, default=None), Agent[A, str | None])
assert_type(branch(plain_or_none, if_none=None), Agent[A, B | None])
assert_type(branch(plain_or_none, default=0, if_none=""), Agent[A, B | int | str])
assert_type(parallel(branch(name, default=None), number).join(merge_maybe), Agent[A, B])

assert_type(when(is_even, plain), When[A, B])
assert_type(when(is_retried, plain), When[A, B])
assert_type(when(lambda value: value.n > 1, plain), When[A, B])
assert_type(choose(when(is_even, plain), otherwise=plain_or_none), Agent[A, B])
assert_type(choose(when(is_even, plain), otherwise=other), Agent[A, C | B])
assert_type(
    choose(when(is_even, plain), when(is_retried, other), otherwise=name), Agent[A, str | B | C]
)

assert_type(fallback(plain, plain_or_none), Agent[A, B])
assert_type(fallback(plain, plain_or_none, chain(plain, back, plain)), Agent[A, B])

assert_type(pool(plain, plain_or_none, capacity=(2, 8)), Agent[A, B])
assert_type(pool(plain, branch(plain, name="b"), capacity=1, weights=(1, 2.5)), Agent[A, B])
assert_type(pool(plain, capacity=1, calls_per_minute=(None,)), Agent[A, B])
assert_type(chain(pool(plain, plain_or_none, capacity=1), back), Agent[A, A])

assert_type(chain(plain, back), Agent[A, A])
assert_type(chain(plain, back, number), Agent[A, int])
assert_type(chain(plain, back, plain, back, plain, back, plain, back), Agent[A, A])
assert_type(
    chain(parallel(name, number).join(merge), choose(when(has_many, back), otherwise=back)),
    Agent[A, A],
)

start = Pipeline("p", source=Topic("a", A))
assert_type(start.stage(parallel(name, number).join(merge)), Pipeline[A, B])
assert_type(start.stage(fallback(plain, plain_or_none)).sink("b"), Pipeline[A, B])
