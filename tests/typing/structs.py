"""Structs are types of agents as models are: mypy checks this file."""

from typing import assert_type

from msgspec import Struct

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import Topic


class Taken(Struct):
    n: int


class Given(Struct):
    n: int


@agent
def of_structs(value: Taken) -> Given:
    return Given(value.n)


assert_type(of_structs, Agent[Taken, Given])
assert_type(Pipeline("p", source=Topic("a", Taken)).stage(of_structs), Pipeline[Taken, Given])
