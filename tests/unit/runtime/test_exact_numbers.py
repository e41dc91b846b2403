"""Numbers that a float cannot hold, on their way through a stage."""

from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter
from streamapp.topics.topic import Topic
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service


class Share(BaseModel):
    share: float


@agent(name="pass_on")
def pass_on(value: Share) -> Share:
    return value


@agent(name="pass_on")
async def pass_on_later(value: Share) -> Share:
    return value


@batch_agent(size=3, name="pass_on")
def pass_on_together(values: list[Share]) -> list[Share]:
    return values


@agent(name="pass_on")
def pass_on_anything(value: dict[str, Any]) -> dict[str, Any]:
    return value


async def letters_and_outputs(
    step: Agent[Any, Any], type_: Any, *values: bytes
) -> tuple[list[str], list[bytes | None], Any]:
    """Messages of the dead letters, and what was written, of records with these values."""
    broker = await broker_with("in", "out", "p.pass_on.dlq")
    pipeline = Pipeline("p", source=Topic("in", type_)).stage(step, on_error=dead_letter())
    running = service(broker, build(pipeline.sink(Topic("out", type_))))
    await broker.write("in", *((b"k", value) for value in values))
    await running.run(until_end=True)
    letters = [dict(record.headers) for record in broker.records("p.pass_on.dlq")]
    told = [(letter["streamapp.error.message"] or b"").decode() for letter in letters]
    return told, broker.values("out"), running.metrics[0]


@pytest.mark.parametrize(
    "step", [pass_on, pass_on_later, pass_on_together], ids=["sync", "async", "batch"]
)
@in_virtual_time
async def test_an_integer_that_no_float_equals_is_the_fault_of_its_record(
    step: Agent[Share, Share],
) -> None:
    told, outputs, metrics = await letters_and_outputs(
        step,
        Share,
        b'{"share":1.5}',
        b'{"share":9007199254740993}',
        b'{"share":9007199254740992}',
        b'{"share":1e20}',
        b'{"share":"x"}',
        b'{"share":2.5}',
    )
    assert outputs == [
        b'{"share":1.5}',
        b'{"share":9007199254740992.0}',
        b'{"share":1e+20}',
        b'{"share":2.5}',
    ]
    assert "share" in told[0]
    assert "no float equals this integer" in told[0]
    assert "valid number" in told[1]
    assert metrics.dead_letters[DeadLetterReason.DECODE] == 2


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e400"])
@in_virtual_time
async def test_without_a_schema_a_number_that_json_does_not_have_is_not_passed_on(
    number: bytes,
) -> None:
    told, outputs, metrics = await letters_and_outputs(
        pass_on_anything, dict, b'{"a":{"b":[1,%s]}}' % number, b'{"a":null}'
    )
    assert outputs == [b'{"a":null}']
    assert "a.b.1: " in told[0]
    assert "is no number in JSON" in told[0]
    assert metrics.dead_letters[DeadLetterReason.OUTPUT] == 1
