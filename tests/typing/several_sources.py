"""Several source topics for a stage, pinned by `assert_type`: mypy checks this file."""

from dataclasses import dataclass
from typing import assert_type

from streamapp.pipeline.agent import agent
from streamapp.pipeline.execution.results import ExecutionResult
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern
from tests.typing.shapes import A, B


@dataclass
class C:
    n: int


@dataclass
class D:
    n: int


@agent
def either(value: A | B) -> B:
    return B(value.n)


@agent
def anything(value: object) -> B:
    return B(len(str(value)))


a, b, c, d = Topic("a", A), Topic("b", B), Topic("c", C), Topic("d", D)

two = Pipeline("p", source=(a, b))
assert_type(two, Pipeline[A | B, A | B])
assert_type(Pipeline("p", source=(a, b, c)), Pipeline[A | B | C, A | B | C])
assert_type(Pipeline("p", source=(a, b, c, d)), Pipeline[A | B | C | D, A | B | C | D])
assert_type(Pipeline("p", source=[a, Topic("other", A)]), Pipeline[A, A])
assert_type(Pipeline("p", source=[Topic(name, A) for name in "xyz"]), Pipeline[A, A])
assert_type(two.stage(either), Pipeline[A | B, B])
assert_type(Pipeline("p", source=(a, b, c)).stage(anything), Pipeline[A | B | C, B])
every = TopicPattern("a.*", A)
assert_type(every, TopicPattern[A])
assert_type(Pipeline("p", source=every), Pipeline[A, A])
assert_type(Pipeline("p", source=(every, b)), Pipeline[A | B, A | B])
assert_type(Pipeline("p", source=[every, TopicPattern("b.*", A)]), Pipeline[A, A])
union: Topic[A | B] = Topic("ab", A | B)
assert_type(Pipeline("p", source=union), Pipeline[A | B, A | B])


async def once() -> None:
    pipeline = two.stage(either)
    assert_type(await pipeline.execute(A(1)), ExecutionResult[B])
    assert_type(await pipeline.execute(B(1), source="b"), ExecutionResult[B])
