"""Middleware around stages, in process and as the runtime calls it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, Field, ValidationError

from streamapp.errors import EncodeError, Permanent, PipelineError
from streamapp.middleware import LogStages, Redact, TimeStages, Validate
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Stage
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry
from streamapp.status import PipelineStatus
from streamapp.topics.topic import Topic
from tests.unit.pipeline.execution.agents import Item, executor, failing, pipeline, tagging
from tests.unit.runtime.virtual import in_virtual_time


async def before(data: Item, stage: Stage, context: Context) -> Item:
    """Leave a mark."""
    data.tags.append(f"before {stage.stage_id} {context.attempt}")
    return data


async def around(data: Item, stage: Stage, context: Context, call: Call) -> Any:  # noqa: ARG001 - the form
    """Leave marks on both sides."""
    data.tags.append("around in")
    result = await call(data)
    result.tags.append("around out")
    return result


async def test_middleware_runs_around_every_stage_in_the_order_in_which_it_was_added() -> None:
    made = pipeline(tagging("a"), tagging("b")).use(before, before).use(around)
    result = await made.execute(Item())
    once = ["before {} 1", "before {} 1", "around in", "{}", "around out"]
    assert result.outputs[0].tags == [mark.format(name) for name in "ab" for mark in once]


async def test_middleware_that_is_used_before_or_after_a_stage_is_added_is_around_it() -> None:
    first, last = pipeline().use(before).stage(tagging("a")), pipeline(tagging("a")).use(before)
    assert (await first.execute(Item())).outputs == (await last.execute(Item())).outputs
    assert (await pipeline(tagging("a")).execute(Item())).outputs == [Item(tags=["a"])]


async def test_middleware_can_refuse_replace_repeat_and_catch() -> None:
    async def refuse(data: Item, stage: Stage, context: Context) -> Item:  # noqa: ARG001 - the form
        raise Permanent("refused")

    async def replaced(data: Item, stage: Stage, context: Context, call: Call) -> Item:  # noqa: ARG001 - the form
        return Item(n=9)

    async def twice(data: Item, stage: Stage, context: Context, call: Call) -> list[Item]:  # noqa: ARG001 - the form
        return [await call(data.model_copy()), await call(data.model_copy())]

    async def caught(data: Item, stage: Stage, context: Context, call: Call) -> Any:  # noqa: ARG001 - the form
        try:
            return await call(data)
        except ValueError:
            return None

    made = pipeline(tagging("a"))
    assert [letter.reason for letter in (await made.use(refuse).execute(Item())).dead_letters] == [
        "permanent"
    ]
    assert (await made.use(replaced).execute(Item())).outputs == [Item(n=9)]
    assert len((await made.use(twice).execute(Item())).outputs) == 2
    result = await pipeline(failing("a", ValueError("no"))).use(caught).execute(Item())
    assert (result.status, result.outputs) == (PipelineStatus.SUCCESS, [])


@in_virtual_time
async def test_a_timeout_and_a_retry_are_of_the_attempt_with_its_middleware() -> None:
    attempts = []

    async def waiting(data: Item, stage: Stage, context: Context) -> Item:  # noqa: ARG001 - the form
        attempts.append(context.attempt)
        await asyncio.sleep(10)
        return data

    policy = retry(1, backoff=Backoff(base_seconds=0))
    made = pipeline(tagging("a"), timeout_seconds=5, on_error=policy).use(waiting)
    async with executor(made) as open_executor:
        result = await open_executor.execute(Item())
    assert attempts == [1, 2]
    assert [letter.reason for letter in result.dead_letters] == ["timeout"]


async def test_middleware_adds_to_the_metadata_for_later_stages() -> None:
    async def counting(data: Item, stage: Stage, context: Context) -> Item:  # noqa: ARG001 - the form
        context.metadata["calls"] = context.metadata.get("calls", 0) + 1
        return data

    result = await pipeline(tagging("a"), tagging("b")).use(counting).execute(Item())
    assert result.context.metadata == {"calls": 2}


@agent
def yielding(item: Item) -> Iterator[Item]:
    """Yield one object twice, changed in between."""
    for n in range(2):
        item.n = n
        yield item


@agent
async def yielding_outs(item: Item) -> AsyncIterator[Out[Item]]:
    yield Out(item, key="k", to="late")


async def test_around_middleware_gets_what_a_generator_yields_as_a_list() -> None:
    seen: list[Any] = []

    async def looking(data: Item, stage: Stage, context: Context, call: Call) -> Any:  # noqa: ARG001 - the form
        result = await call(data)
        seen.append(result)
        return result

    made = pipeline(yielding).use(looking)
    assert [output.n for output in (await made.execute(Item())).outputs] == [0, 1]
    assert seen == [[Item(n=0), Item(n=1)]]
    routed = pipeline().stage(yielding_outs, routes={"late": Topic("late", Item)}).use(looking)
    [late] = (await routed.execute(Item(n=5))).routes["late"]
    assert (late.key, late.value) == (b"k", Item(n=5))
    assert seen[1] == [Out(Item(n=5), key=b"k", to="late")]


@pytest.mark.parametrize("wrong", [None, {"n": 1}, "text"])
async def test_what_the_agent_does_not_take_is_refused_with_the_name_of_the_middleware(
    wrong: Any,
) -> None:
    async def forgetful(data: Item, stage: Stage, context: Context) -> Any:  # noqa: ARG001 - the form
        return wrong

    async def calling(data: Item, stage: Stage, context: Context, call: Call) -> Any:  # noqa: ARG001 - the form
        return await call(wrong)

    for middleware in (forgetful, calling):
        [letter] = (await pipeline(tagging("a")).use(middleware).execute(Item())).dead_letters
        assert letter.reason == "output"
        assert f"{middleware.__name__} gave stage 'a' a value of type" in str(letter.error)
        assert isinstance(letter.error.original_error, EncodeError)


async def test_the_stage_is_read_only() -> None:
    async def changing(data: Item, stage: Stage, context: Context) -> Item:  # noqa: ARG001 - the form
        stage.stage_id = "other"  # type: ignore[misc]  # the mistake under test
        return data

    [letter] = (await pipeline(tagging("a")).use(changing).execute(Item())).dead_letters
    assert isinstance(letter.error.original_error, ValidationError)


def plain(data: Item, stage: Stage, context: Context) -> Item:  # noqa: ARG001 - the form
    return data


async def of_two(data: Item, stage: Stage) -> Item:  # noqa: ARG001 - the form
    return data


class Wrapper:
    """An object that is middleware."""

    async def __call__(self, data: Item, stage: Stage, context: Context, call: Call) -> Any:
        del stage, context
        return await call(data)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (plain, r"the middleware plain is not async; write `async def`"),
        (of_two, r"of_two takes 2 arguments; it takes \(data, stage, context\), or \(data, stage"),
        (Wrapper, r"\.use\(\) was given <class .*Wrapper'>; give async functions"),
        ("text", r"\.use\(\) was given 'text'"),
    ],
)
def test_what_is_no_middleware_is_refused(wrong: Any, told: str) -> None:
    with pytest.raises(PipelineError, match=told):
        pipeline(tagging("a")).use(wrong)


@pytest.mark.parametrize("middleware", [Wrapper(), partial(around), before])
async def test_objects_and_partials_are_middleware(middleware: Any) -> None:
    result = await pipeline(tagging("a")).use(middleware).execute(Item())
    assert result.status is PipelineStatus.SUCCESS


async def test_logging_says_stage_attempt_and_end_and_nothing_of_the_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "streamapp.stages")
    secret = failing("bad", ValueError("secret"))
    made = pipeline(tagging("a")).stage(secret, on_error=dead_letter()).use(LogStages())
    await made.execute(Item(tags=["secret"]), key="secret")
    lines = [record.getMessage() for record in caplog.records if record.name == "streamapp.stages"]
    assert [line.partition(", after")[0] for line in lines] == [
        "stage a of p gave 1 outputs in attempt 1",
        "stage bad of p failed with ValueError in attempt 1",
    ]
    assert "secret" not in caplog.text


@in_virtual_time
async def test_timing_measures_each_call_on_the_clock_failures_included() -> None:
    @agent
    async def slow(item: Item) -> Item:
        await asyncio.sleep(3)
        if item.n:
            raise ValueError("no")
        return item

    told: list[tuple[str, float]] = []
    timing = TimeStages(lambda stage, seconds: told.append((stage, seconds)))
    async with executor(pipeline(slow, on_error=dead_letter()).use(timing)) as open_executor:
        await open_executor.execute(Item())
        await open_executor.execute(Item(n=1))
    assert [(stage, round(seconds, 6)) for stage, seconds in told] == [("slow", 3)] * 2
    figures = timing.figures.stages["p", "slow"]
    assert figures.counts == {"success": 1, "failed": 1}
    assert figures.longest_seconds == pytest.approx(3)


class Narrow(BaseModel):
    n: int = Field(lt=5)


def even(item: Item) -> bool:
    return item.n % 2 == 0


@pytest.mark.parametrize("check", [Narrow, even])
async def test_validation_refuses_as_the_fault_of_the_record(check: Any) -> None:
    made = pipeline(tagging("a")).use(Validate(check))
    assert (await made.execute(Item(n=4))).outputs == [Item(n=4, tags=["a"])]
    [letter] = (await made.execute(Item(n=7))).dead_letters
    assert (letter.reason, letter.attempts) == ("permanent", 1)
    elsewhere = pipeline(tagging("a"), tagging("b")).use(Validate(check, stages=["b"]))
    [letter] = (await elsewhere.execute(Item(n=7))).dead_letters
    assert letter.stage_id == "b"


async def later(item: Item) -> bool:
    return bool(item)


@pytest.mark.parametrize("wrong", [later, "text"])
def test_what_can_check_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(PipelineError, match="give a type, or a plain function of the data"):
        Validate(wrong)


class Card(NamedTuple):
    number: str
    year: int


@dataclass
class Address:
    street: str
    zip: str = "8000"


class Customer(BaseModel):
    email: str | None
    address: Address = field(default_factory=lambda: Address("a street"))
    cards: list[Card] = []
    notes: dict[str, str] = {}


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("email", lambda one: one.email),
        ("address.street", lambda one: one.address.street),
        ("cards.*.number", lambda one: one.cards[1].number),
        ("notes.a", lambda one: one.notes["a"]),
        ("notes.*", lambda one: one.notes["b"]),
    ],
)
async def test_redaction_replaces_fields_in_a_copy(
    path: str, read: Callable[[Customer], object]
) -> None:
    given = Customer(
        email="a@b",
        address=Address("s"),
        cards=[Card("1", 2030), Card("2", 2031)],
        notes={"a": "x", "b": "y"},
    )
    stage = pipeline(tagging("a")).stages[0]
    before_it = given.model_copy(deep=True)
    redacted = await Redact(path)(given, stage, Context())
    assert read(redacted) == "***"
    assert given == before_it
    assert redacted.address.zip == "8000"


async def test_redaction_passes_over_what_is_not_there_and_other_stages() -> None:
    stage = pipeline(tagging("a")).stages[0]
    for path in ("other", "email.inner", "cards.*.number", "notes.c", "address.*"):
        given = Customer(email=None)
        assert await Redact(path)(given, stage, Context()) == given
    given = Customer(email="a@b")
    assert await Redact("email", stages=["b"])(given, stage, Context()) is given
    assert (await Redact("email", by=None)(given, stage, Context())).email is None


async def test_what_cannot_be_copied_is_refused_and_not_left_as_it_is() -> None:
    class Own:
        field = "x"

    stage = pipeline(tagging("a")).stages[0]
    with pytest.raises(Permanent, match="the field 'field' of a Own cannot be redacted"):
        await Redact("field")(Own(), stage, Context())


@pytest.mark.parametrize("paths", [(), ("",), ("a..b",), (["a"],), (5,)])
def test_redaction_without_a_path_is_refused(paths: tuple[Any, ...]) -> None:
    with pytest.raises(PipelineError, match="give paths of fields"):
        Redact(*paths)


async def test_redacted_data_flow_on_redacted() -> None:
    @agent
    def same(customer: Customer) -> Customer:
        return customer

    made = Pipeline("p", source=Topic("in", Customer)).stage(same).use(Redact("email"))
    result = await made.execute(Customer(email="a@b"))
    assert result.outputs[0].email == "***"
