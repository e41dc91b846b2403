"""The policy `skip` lets a record flow on as it is: value, key and headers."""

import pytest

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, retry, skip
from streamapp.record import CONTEXT_HEADER, Headers
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.agents import same
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service

AS_READ: Headers = [("trace", b"1"), ("trace", b"2")]
SKIPS = [skip(), retry(1, then=skip(), backoff=Backoff(base_seconds=1))]


@agent
def fail(value: bytes) -> bytes:
    raise ValueError(value.decode())


@agent
def rename(value: bytes) -> Out[bytes]:
    return Out(value + b" renamed", key="new", headers=[("made", b"here")])


async def outputs_of(
    *steps: tuple[Agent[bytes, bytes], Policy], key: bytes | None = b"old"
) -> list[tuple[bytes | None, bytes | None, Headers]]:
    """Key, value and headers of what comes out of these fused steps."""
    broker = await broker_with("in", "out", *(f"p.{step.name}.dlq" for step, _ in steps))
    (first, policy), *others = steps
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(first, on_error=policy)
    for step, own in others:
        pipeline = pipeline.stage(step, fused=True, on_error=own)
    await broker.write("in", (key, b"1"), headers=AS_READ)
    stage = service(broker, build(pipeline.sink("out")))
    await stage.run(until_end=True)
    assert [metrics.skipped for metrics in stage.metrics] == [int(s is fail) for s, _ in steps]
    return [
        (record.key, record.value, [one for one in record.headers if one[0] != CONTEXT_HEADER])
        for record in broker.records("out")
    ]


@pytest.mark.parametrize("policy", SKIPS, ids=["at once", "after retries"])
@pytest.mark.parametrize("key", [b"old", None])
@in_virtual_time
async def test_a_skipped_record_keeps_key_and_headers(policy: Policy, key: bytes | None) -> None:
    assert await outputs_of((fail, policy), key=key) == [(key, b"1", AS_READ)]


@pytest.mark.parametrize("policy", SKIPS, ids=["at once", "after retries"])
@pytest.mark.parametrize("key", [b"old", None])
@in_virtual_time
async def test_a_record_that_skips_the_head_of_a_segment_keeps_key_and_headers(
    policy: Policy, key: bytes | None
) -> None:
    found = await outputs_of((fail, policy), (same, dead_letter()), key=key)
    assert found == [(key, b"1", AS_READ)]


@pytest.mark.parametrize("policy", SKIPS, ids=["at once", "after retries"])
@in_virtual_time
async def test_what_skips_a_fused_stage_keeps_what_the_stage_before_it_gave(policy: Policy) -> None:
    made: Headers = [("made", b"here")]
    found = await outputs_of((rename, dead_letter()), (fail, policy))
    assert found == [(b"new", b"1 renamed", made)]
    found = await outputs_of((rename, dead_letter()), (fail, policy), (same, dead_letter()))
    assert found == [(b"new", b"1 renamed", made)]


@in_virtual_time
async def test_a_skipped_record_that_is_too_large_for_the_next_topic_is_a_wrong_output() -> None:
    broker = await broker_with("in", "out", "p.fail.dlq")
    await broker.admin().alter_topic_config("out", {"max.message.bytes": "400"})
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(fail, on_error=skip())
    await broker.write("in", (b"k", b"x" * 500), (b"k", b"y"))
    stage = service(broker, build(pipeline.sink("out")))
    await stage.run(until_end=True)
    assert broker.values("out") == [b"y"]
    [letter] = broker.records("p.fail.dlq")
    assert error_headers(letter)["reason"] == "output"
