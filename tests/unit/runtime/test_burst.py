"""What leaves a burst goes the same way as what never was in one."""

from collections.abc import Iterator
from typing import Any

import pytest

from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import Policy, dead_letter, skip
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.virtual import broker_for, broker_with, in_virtual_time, one_stage, service

LARGE = 2_000_000
"""Bytes that no batch of a topic takes."""


@agent
def announce(value: bytes) -> bytes:
    return b"first " + value


@agent
def grow(value: bytes) -> bytes:
    return value if value.endswith(b"good") else b"x" * LARGE


@pytest.mark.parametrize("policy", [dead_letter(), skip()], ids=["dead letter", "skip"])
@in_virtual_time
async def test_a_fused_stage_whose_output_is_too_large_goes_on_with_what_it_took(
    policy: Policy,
) -> None:
    broker = await broker_with("in", "out", "p.announce.dlq", "p.grow.dlq")
    await broker.write("in", (b"k", b"good"), (b"k", b"bad"), (b"k", b"good"))
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(announce)
    pipeline = pipeline.stage(grow, fused=True, on_error=policy)
    stage = service(broker, build(pipeline.sink("out")))
    await stage.run(until_end=True)
    first, second = stage.metrics
    assert (first.processed, second.records_in) == (3, 3)
    assert sum(first.attempt_duration.counts) == sum(second.attempt_duration.counts) == 3
    if policy == skip():
        assert broker.values("out") == [b"first good", b"first bad", b"first good"]
    else:
        assert broker.values("out") == [b"first good", b"first good"]
        assert broker.values("p.grow.dlq") == [b"first bad"]


def headers_that_raise() -> Iterator[tuple[str, bytes]]:
    yield "a", b"1"
    raise KeyError("b")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"key": "\ud800"}, "EncodeError"),
        ({"to": ["out"]}, "TypeError"),
        ({"headers": headers_that_raise()}, "KeyError"),
    ],
    ids=["key", "route", "headers"],
)
@in_virtual_time
async def test_an_out_that_cannot_be_read_is_the_records_failure(
    wrong: dict[str, Any], kind: str
) -> None:
    @agent
    def give(value: bytes) -> Out[bytes]:
        return Out(value, **wrong) if value == b"bad" else Out(value)

    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"good"), (b"k", b"bad"), (b"k", b"good"))
    await service(broker, one_stage(give)).run(until_end=True)
    assert broker.values("p-out") == [b"good", b"good"]
    [letter] = broker.records("p.stage.dlq")
    assert error_headers(letter)["class"] == kind
