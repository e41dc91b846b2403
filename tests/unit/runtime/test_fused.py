"""Fused stages, plain and async in every order: each takes its turn, and is counted for itself."""

import asyncio
from collections.abc import Sequence

import pytest

from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter
from streamapp.record import Headers
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import broker_with, in_virtual_time, loop, service

AS_READ: Headers = [("trace", b"as read")]
Seen = list[tuple[str, str, str, int, int, bytes | None, int]]


def seconds(name: str, value: bytes) -> float:
    """How long this step works on this value: each on each has a time of its own."""
    return 0.001 * (int(name[1:]) + 1) * int(value[:1]) if name[1:] else 0.003


def plain(name: str) -> Agent[bytes, bytes]:
    @agent(name=name)
    def add(value: bytes) -> bytes:
        loop().burn(seconds(name, value))
        return value + name.encode()

    return add


def waiting(name: str) -> Agent[bytes, bytes]:
    @agent(name=name)
    async def add(value: bytes) -> bytes:
        await asyncio.sleep(seconds(name, value))
        return value + name.encode()

    return add


def at_once(name: str) -> Agent[bytes, bytes]:
    @agent(name=name)
    async def add(value: bytes) -> bytes:
        loop().burn(seconds(name, value))
        return value + name.encode()

    return add


KINDS = {"p": plain, "w": waiting, "a": at_once}


def filtering(name: str) -> Agent[bytes, bytes]:
    @agent(name=name)
    def odd(value: bytes) -> bytes | None:
        return value + name.encode() if value[0] % 2 else None

    return odd


async def run(
    *steps: Agent[bytes, bytes], values: Sequence[bytes] = (b"1", b"2", b"3")
) -> tuple[FaultyBroker, Sequence[StageMetrics]]:
    """A run of these fused steps over values of one key, so that one follows the other."""
    names = [str(step.name) for step in steps]
    broker = await broker_with("in", "out", *(f"p.{name}.dlq" for name in names))
    await broker.write("in", *((b"k", value) for value in values), headers=AS_READ)
    first, *others = steps
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(first, on_error=dead_letter())
    for step in others:
        pipeline = pipeline.stage(step, fused=True, on_error=dead_letter())
    stage = service(broker, build(pipeline.sink("out")))
    await stage.run(until_end=True)
    return broker, stage.metrics


@pytest.mark.parametrize(
    "kinds", ["pp", "pw", "pa", "wp", "ap", "ww", "ppp", "ppw", "pwp", "wpp", "apa", "app", "aaa"]
)
@in_virtual_time
async def test_fused_stages_take_their_turns_and_count_each_record_once(kinds: str) -> None:
    steps = [KINDS[kind](f"{kind}{i}") for i, kind in enumerate(kinds)]
    broker, counted = await run(*steps)
    names = b"".join(str(step.name).encode() for step in steps)
    assert [(record.key, record.value) for record in broker.records("out")] == [
        (b"k", b"1" + names),
        (b"k", b"2" + names),
        (b"k", b"3" + names),
    ]
    assert all(list(record.headers) == AS_READ for record in broker.records("out"))
    for i, metrics in enumerate(counted):
        assert (metrics.records_in, metrics.processed, metrics.filtered) == (3, 3, 0)
        assert sum(metrics.attempt_duration.counts) == 3
        expected = 1000 * (i + 1) * (1 + 2 + 3)
        assert metrics.attempt_duration.total == pytest.approx(expected, abs=100)
    assert [sum(metrics.age.counts) for metrics in counted] == [3] + [0] * (len(steps) - 1)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("others", ["p", "w", "a"])
@in_virtual_time
async def test_what_a_fused_stage_filters_goes_no_further_and_the_rest_does(
    place: int, others: str
) -> None:
    steps = [KINDS[others](f"{others}{i}") for i in range(3)]
    steps[place] = filtering("f")
    broker, counted = await run(*steps)
    names = b"".join(str(step.name).encode() for step in steps)
    assert broker.values("out") == [b"1" + names, b"3" + names]
    assert [metrics.records_in for metrics in counted] == [3] * (place + 1) + [2] * (2 - place)
    assert [metrics.filtered for metrics in counted] == [int(i == place) for i in range(3)]
    assert [metrics.processed for metrics in counted] == [3] * place + [2] * (3 - place)
    for metrics in counted:
        assert sum(metrics.attempt_duration.counts) == metrics.records_in


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("others", ["p", "w"])
@in_virtual_time
async def test_what_a_fused_stage_fails_on_becomes_its_own_dead_letter_and_the_rest_goes_on(
    place: int, others: str
) -> None:
    @agent(name="f")
    def refuse(value: bytes) -> bytes:
        loop().burn(seconds(f"f{place}", value))
        if value.startswith(b"2"):
            raise ValueError(value)
        return value + b"f"

    steps = [KINDS[others](f"{others}{i}") for i in range(3)]
    steps[place] = refuse
    broker, counted = await run(*steps)
    names = b"".join(str(step.name).encode() for step in steps)
    assert broker.values("out") == [b"1" + names, b"3" + names]
    before = b"".join(str(step.name).encode() for step in steps[:place])
    assert broker.values("p.f.dlq") == [b"2" + before]
    assert [metrics.records_in for metrics in counted] == [3] * (place + 1) + [2] * (2 - place)
    assert [metrics.dead_lettered for metrics in counted] == [int(i == place) for i in range(3)]
    assert [metrics.processed for metrics in counted] == [3] * place + [2] * (3 - place)
    for i, metrics in enumerate(counted):
        assert sum(metrics.attempt_duration.counts) == metrics.records_in
        expected = 1000 * (i + 1) * (1 + 2 + 3 if i <= place else 1 + 3)
        assert metrics.attempt_duration.total == pytest.approx(expected, abs=100)


@pytest.mark.parametrize("is_list", [False, True])
@in_virtual_time
async def test_a_fused_stage_takes_a_value_with_the_key_and_headers_that_it_was_given(
    *, is_list: bool
) -> None:
    @agent(name="one")
    def renamed(value: bytes) -> Out[bytes]:
        return Out(value, key=b"new", headers=[("made", b"here")])

    @agent(name="many")
    def both(value: bytes) -> list[bytes]:
        return [value, value + b"again"]

    broker, counted = await run(plain("x"), both if is_list else renamed, plain("y"))
    found = [(record.key, record.value, list(record.headers)) for record in broker.records("out")]
    if is_list:
        assert found[:2] == [(b"k", b"1xy", AS_READ), (b"k", b"1xagainy", AS_READ)]
        assert [metrics.records_in for metrics in counted] == [3, 3, 6]
    else:
        assert found == [(b"new", b"%dxy" % n, [("made", b"here")]) for n in (1, 2, 3)]
        assert [metrics.records_in for metrics in counted] == [3, 3, 3]


@pytest.mark.parametrize("kinds", ["pp", "pa", "ap", "aa"])
@in_virtual_time
async def test_the_context_of_a_fused_stage_names_it_and_the_record_that_was_read(
    kinds: str,
) -> None:
    seen: Seen = []

    def told(context: Context) -> None:
        record = context.record
        place = (record.offset, context.partition, record.key)
        seen.append((context.pipeline_id, context.stage_id, context.topic, *place, context.attempt))

    def plain_step(name: str) -> Agent[bytes, bytes]:
        @agent(name=name)
        def step(value: bytes, context: Context) -> bytes:
            told(context)
            return value

        return step

    def async_step(name: str) -> Agent[bytes, bytes]:
        @agent(name=name)
        async def step(value: bytes, context: Context) -> bytes:
            told(context)
            return value

        return step

    of = {"p": plain_step, "a": async_step}
    await run(*(of[kind](f"s{i}") for i, kind in enumerate(kinds)), values=[b"1", b"2"])
    assert seen == [("p", f"s{i}", "in", offset, 0, b"k", 1) for offset in (0, 1) for i in (0, 1)]


@pytest.mark.parametrize("second", ["p", "a", "w"])
@in_virtual_time
async def test_the_first_of_fused_stages_may_give_another_key_and_headers(second: str) -> None:
    @agent(name="one")
    def renamed(value: bytes) -> Out[bytes]:
        return Out(value, key=b"new", headers=[("made", b"here")])

    broker, counted = await run(renamed, KINDS[second]("y"))
    found = [(record.key, record.value, list(record.headers)) for record in broker.records("out")]
    assert found == [(b"new", b"%dy" % n, [("made", b"here")]) for n in (1, 2, 3)]
    assert [metrics.processed for metrics in counted] == [3, 3]


@in_virtual_time
async def test_a_record_keeps_its_key_while_a_fused_stage_awaits() -> None:
    @agent(name="slow")
    async def slow_at_first(value: bytes) -> bytes:
        await asyncio.sleep(1 / int(value[:1]))
        return value

    broker, _ = await run(plain("x"), slow_at_first)
    assert broker.values("out") == [b"1x", b"2x", b"3x"]


@pytest.mark.parametrize("fused", [False, True])
@in_virtual_time
async def test_agents_that_never_suspend_let_others_have_a_turn_every_few_records(
    *, fused: bool
) -> None:
    asked: list[float] = []
    waits: list[float] = []

    def have_a_turn() -> None:
        waits.append(loop().time() - asked.pop())

    @agent(name="x")
    def busy(value: bytes) -> bytes:
        if not asked:
            asked.append(loop().time())
            loop().call_soon(have_a_turn)
        loop().burn(0.003)
        return value

    later = [plain("y")] if fused else []
    await run(busy, *later, values=[b"%d" % n for n in range(48)])
    # A record takes 3 ms, or 6: the one in work when the slice of 10 ms ends is the last of it.
    assert waits == pytest.approx([0.012] * (24 if fused else 12))
