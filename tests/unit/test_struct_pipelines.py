"""Stages whose agents take and give structs, in-process and on the memory broker."""

from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from streamapp import Pipeline, PipelineError, Topic, agent, dead_letter, parallel
from streamapp.configuration.declared_middleware import UseValidation, middleware_of
from streamapp.middleware.redaction import Redact
from streamapp.middleware.validation import Validate
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.testing import Input, PipelineDriver


class Item(Struct):
    n: int
    seen: list[str] = []


class Double(Struct):
    n: int
    seen: list[str]


class Named(Struct):
    name: str


@agent
def double(item: Item) -> Double:
    if item.n == 1:
        return Double("two", item.seen)  # type: ignore[arg-type]  # nobody checks it
    return Double(2 * item.n, item.seen)


@agent
def note(value: Double) -> Double:
    value.seen.append("noted")
    if len(value.seen) > 1:
        raise ValueError("it was noted before")
    return value


def pipeline(*, fused: bool) -> Pipeline[Any, Any]:
    first = Pipeline("p", source=Topic("in", Item)).stage(double, on_error=dead_letter())
    return first.stage(note, fused=fused).sink(Topic("out", Double))


@pytest.mark.parametrize("fused", [True, False])
def test_structs_go_from_stage_to_stage_and_a_wrong_one_fails_where_it_was_made(
    *, fused: bool
) -> None:
    inputs: list[Any] = [Input(Item(n), key=str(n)) for n in (1, 2, 3)]
    results = PipelineDriver(pipeline(fused=fused)).run([*inputs, b'{"n":"4"}'])
    assert sorted(one.n for one in results.outputs) == [4, 6]
    assert all(one.seen == ["noted"] for one in results.outputs)
    assert results.dead_letters("note") == []
    told = {one.reason: one.message for one in results.dead_letters("double")}
    assert told[DeadLetterReason.OUTPUT].endswith("n: expected int, got str")
    assert told[DeadLetterReason.DECODE].endswith("n: Expected `int`, got `str`")


async def test_execute_takes_and_gives_structs() -> None:
    result = await pipeline(fused=True).execute(Item(2))
    assert result.output == Double(4, ["noted"])
    failed = await pipeline(fused=True).execute(Item(1))
    assert "n: expected int, got str" in str(failed.stages[0].error)


async def test_branches_share_no_struct() -> None:
    @agent
    def change(item: Item) -> int:
        item.seen.append("changed")
        return len(item.seen)

    @agent
    def look(item: Item) -> int:
        return len(item.seen)

    def both(item: Item, changed: int, seen: int) -> Double:
        return Double(changed * 10 + seen, item.seen)

    whole = parallel(change, look).join(both)
    result = await Pipeline("p", source=Topic("in", Item)).stage(whole).execute(Item(0))
    assert result.output == Double(10, [])


class Checked(Struct):
    n: Annotated[int, Meta(ge=2)]


async def status_with(middleware: Any) -> tuple[Any, str]:
    only_double = Pipeline("p", source=Topic("in", Item)).stage(double, on_error=dead_letter())
    result = await only_double.use(middleware).execute(Item(0, ["secret"]))
    return result.output, str(result.stages[0].error)


async def test_middleware_checks_and_redacts_structs() -> None:
    output, _ = await status_with(Redact("seen.*", by="-"))
    assert output == Double(0, ["-"])
    _, told = await status_with(Validate(Checked))
    assert "n: Expected `int` >= 2" in told
    declared = {"validation": {"json_schema": {"properties": {"n": {"minimum": 2}}}}}
    output, _ = await status_with(middleware_of(UseValidation.model_validate(declared)))
    assert output is None
    with pytest.raises(PipelineError, match="other"):
        await status_with(Redact("other"))
