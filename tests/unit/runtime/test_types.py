"""An output of the wrong type goes the way of its stage's policy, whatever its type is made of."""

import warnings
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import drop, retry
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service


class Play(BaseModel):
    title: str


class Stop(BaseModel):
    seconds: int


class Line(TypedDict):
    title: str


class Started(BaseModel):
    kind: Literal["start"] = "start"


class Stopped(BaseModel):
    kind: Literal["stop"] = "stop"


Event = Annotated[Started | Stopped, Field(discriminator="kind")]
Positive = Annotated[int, Field(gt=0)]


@pytest.mark.parametrize(
    ("type_", "right", "wrong", "written"),
    [
        (Play | Stop, Stop(seconds=1), {"title": "a"}, b'{"seconds":1}'),
        (Play | Stop, Play(title="a"), 5, b'{"title":"a"}'),
        (dict[str, int], {"a": 1}, {"a": "text"}, b'{"a":1}'),
        (tuple[list[int], int], ([1, 2], 3), (["text"], 3), b"[[1,2],3]"),
        (Line, {"title": "a"}, {"title": 5}, b'{"title":"a"}'),
    ],
    ids=str,
)
@in_virtual_time
async def test_a_wrong_type_inside_an_output_becomes_a_dead_letter_without_a_retry(
    type_: Any, right: Any, wrong: Any, written: bytes
) -> None:
    @agent(name="stage", output_type=type_)
    def give(value: bytes) -> Any:
        return right if value == b"right" else wrong

    broker = await broker_with("in", "out", "p.stage.dlq")
    await broker.write("in", (b"k", b"right"), (b"k", b"wrong"))
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(give, on_error=retry(3)).sink("out")
    stage = service(broker, build(pipeline))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is written with a warning is written
        await stage.run(until_end=True)
    assert broker.values("out") == [written]
    [letter] = broker.records("p.stage.dlq")
    facts = error_headers(letter)
    assert (facts["class"], facts["reason"], facts["attempts"]) == ("EncodeError", "output", "1")


@in_virtual_time
async def test_the_policy_of_the_stage_decides_about_an_output_of_the_wrong_type() -> None:
    @agent(name="stage", output_type=Play | Stop)
    def give(_value: bytes) -> Any:
        return 5

    broker = await broker_with("in", "out", "p.stage.dlq")
    await broker.write("in", (b"k", b"1"))
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(give, on_error=drop()).sink("out")
    stage = service(broker, build(pipeline))
    await stage.run(until_end=True)
    assert stage.metrics[0].dropped == 1
    assert (broker.values("out"), broker.values("p.stage.dlq")) == ([], [])


@in_virtual_time
async def test_what_an_annotation_demands_of_a_value_is_checked_when_it_is_read() -> None:
    @agent(name="stage")
    def give(value: Positive) -> bytes:
        return str(value).encode()

    broker = await broker_with("in", "out", "p.stage.dlq")
    await broker.write("in", (b"k", b"1"), (b"k", b"-5"))
    pipeline = Pipeline("p", source=Topic("in", Positive)).stage(give).sink("out")
    await service(broker, build(pipeline)).run(until_end=True)
    assert broker.values("out") == [b"1"]
    assert broker.values("p.stage.dlq") == [b"-5"]


@in_virtual_time
async def test_an_agent_takes_a_topic_of_one_alias_of_several_models() -> None:
    @agent(name="stage")
    def give(value: Event) -> Event | None:
        return value if isinstance(value, Stopped) else None

    broker = await broker_with("in", "out", "p.stage.dlq")
    await broker.write("in", (b"k", b'{"kind":"start"}'), (b"k", b'{"kind":"stop"}'))
    pipeline = Pipeline("p", source=Topic("in", Event)).stage(give).sink(Topic("out", Event))
    await service(broker, build(pipeline)).run(until_end=True)
    assert broker.values("out") == [b'{"kind":"stop"}']
    assert broker.values("p.stage.dlq") == []
