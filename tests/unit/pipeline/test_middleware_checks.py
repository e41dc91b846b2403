"""Middleware that does not fit the pipeline that it is added to is refused when that is built."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict

from streamapp.errors import PipelineError
from streamapp.middleware import Redact, Validate
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Stage
from streamapp.pipeline.topology import build
from streamapp.topics.topic import Topic
from tests.unit.pipeline.execution.agents import pipeline, tagging


class Card(NamedTuple):
    number: str
    year: int


@dataclass
class Address:
    street: str


class Customer(BaseModel):
    email: str | None
    address: Address
    cards: list[Card] = []


class Many(BaseModel):
    model_config = ConfigDict(extra="allow")


class Wide(BaseModel):
    customer: Customer | None = None
    by_name: dict[str, list[Customer]] = {}
    pair: tuple[Customer, int] | None = None
    many: Many = Many()
    some: Any = None


def taking(type_: Any) -> Pipeline[Any, Any]:
    @agent(name="a", input_type=type_, output_type=type_)
    def same(value: Any) -> Any:
        return value

    return Pipeline("p", source=Topic("in", type_)).stage(same).sink("out")


@pytest.mark.parametrize(
    "path",
    [
        "customer.email",
        "customer.address.street",
        "customer.cards.*.number",
        "by_name.*.*.email",
        "by_name.ann.*.email",
        "pair.*.email",
        "many.anything.at.all",
        "some.*.thing",
    ],
)
def test_a_path_that_data_may_have_is_accepted(path: str) -> None:
    build(taking(Wide).use(Redact(path)))
    build(taking(dict[str, Any]).use(Redact(path)))


@pytest.mark.parametrize(
    "path",
    [
        "mail",
        "customer.mail",
        "customer.email.inner",
        "customer.*",
        "by_name.*.email",
        "pair.email",
    ],
)
def test_a_path_that_no_data_have_is_refused_when_built(path: str) -> None:
    with pytest.raises(PipelineError, match=re.escape(f"has the path {path!r}, which the data")):
        build(taking(Wide).use(Redact(path)))


def test_a_path_is_looked_for_at_the_stages_that_it_is_for() -> None:
    @agent(name="b")
    def email(customer: Customer) -> str:
        return customer.email or ""

    made = Pipeline("p", source=Topic("in", Customer)).stage(email).stage(text).sink("out")
    build(made.use(Redact("email")))
    with pytest.raises(PipelineError, match="which the data of no stage have"):
        build(made.use(Redact("email", stages=["text"])))


@agent
def text(value: str) -> str:
    return value


@pytest.mark.parametrize("added", [Validate(int, stages=["z", "a"]), Redact("n", stages=["z"])])
def test_a_stage_that_the_pipeline_does_not_have_is_refused_when_built(added: Any) -> None:
    told = "is for the stages 'z', which the pipeline does not have; its stages are 'a', 'b'"
    with pytest.raises(PipelineError, match=told):
        build(pipeline(tagging("a"), tagging("b")).use(added))


async def test_middleware_of_a_user_can_check_what_it_is_added_to() -> None:
    class Picky:
        def check(self, stages: Sequence[Stage]) -> None:
            if len(stages) > 1:
                raise ValueError("is for one stage only")

        async def __call__(self, data: Any, _stage: Stage, _context: Context) -> Any:
            return data

    build(pipeline(tagging("a")).use(Picky()), needs_sink=False)
    with pytest.raises(PipelineError, match=r"'p': the middleware .*Picky is for one stage only"):
        build(pipeline(tagging("a"), tagging("b")).use(Picky()))


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("customr.email", "customer.email"),
        ("customer.emial", "customer.email"),
        ("customer.adress.stret", "customer.address.street"),
        ("customer.cards.*.numbr", "customer.cards.*.number"),
        ("by_name.*.*.emails", "by_name.*.*.email"),
    ],
)
def test_the_closest_path_is_suggested(path: str, near: str) -> None:
    with pytest.raises(PipelineError, match=re.escape(f"(did you mean {near!r}?); give")):
        build(taking(Wide | None).use(Redact(path)))


def test_no_path_is_suggested_where_none_is_close() -> None:
    with pytest.raises(PipelineError, match="which the data of no stage have; give"):
        build(taking(Wide).use(Redact("customer.telephone")))
