"""Scenarios: pipelines with inputs, and how they end wherever they run.

To add one, add an entry to `SCENARIOS`; every suite that takes the list runs it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel

from streamapp.errors import Permanent
from streamapp.middleware import Redact, TimeStages, Validate
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.combinators.when import when
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Stage
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, drop, retry, retry_later, skip, stop
from streamapp.record import CONTEXT_HEADER, Headers
from streamapp.topics.topic import Topic
from tests.contract.pipelines import Item

P: TypeAlias = Pipeline[Any, Any]
AT_ONCE = Backoff(base_seconds=0.001)
RETRY = retry(2, backoff=AT_ONCE)
LATER = retry_later([0.001, 0.002])


@dataclass(frozen=True, slots=True)
class Given:
    """A record of a source: `in`, or one of the others of its scenario."""

    value: bytes | None
    key: bytes | None = b"k"
    headers: Headers = ()
    source: str = "in"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A pipeline with inputs, and how it ends.

    Attributes:
        name: what happens, in words.
        stages: adds the stages to a pipeline whose source has items; the last has no sink.
        inputs: numbers of items, or records.
        outputs: numbers and texts of the items in the sink, in any order.
        routed: the same in the topic of the route `late`.
        letters: stage and reason of the dead letters, in any order.
        stopped_by: the stage whose policy says stop; `None` for none.
        audit: what the stages add to the audit trail.
        source: type of the source's values.
        others: types of the values of further sources, by the last part of their names.
        matching: type of the values of topics that a pattern matches, as `many.a` and `many.b`.
    """

    name: str
    stages: Callable[[P], P]
    inputs: Sequence[int | Given] = (0, 1, 2, 3)
    outputs: Sequence[tuple[int, str]] = ()
    routed: Sequence[tuple[int, str]] = ()
    letters: Sequence[tuple[str, str]] = ()
    stopped_by: str | None = None
    audit: str = "errors"
    source: Any = field(default=Item)
    others: Mapping[str, Any] = field(default_factory=dict)
    matching: Any = None

    def given(self) -> list[Given]:
        """The inputs as records."""
        return [
            Given(b'{"n":%d,"text":""}' % one, b"k%d" % one) if isinstance(one, int) else one
            for one in self.inputs
        ]


@agent
def same(item: Item) -> Item:
    return item


@agent
def marked(item: Item) -> Item:
    item.text += "+"
    return item


@agent
async def waiting(item: Item) -> Item:
    await asyncio.sleep(0.001)
    item.text += "+"
    return item


@agent(blocking=True)
def blocking(item: Item) -> Item:
    item.text += "+"
    return item


@agent
def odd_only(item: Item) -> Item | None:
    return item if item.n % 2 else None


@agent
def doubled(item: Item) -> list[Item]:
    return [item, Item(n=item.n, text="again")]


@agent
def yielded(item: Item) -> Iterator[Item]:
    for text in "ab":
        item.text = text
        yield item


@agent
async def yielded_later(item: Item) -> AsyncIterator[Item]:
    for text in "ab":
        item.text = text
        yield item


@agent
def rekeyed(item: Item) -> Out[Item]:
    return Out(item, key=f"new{item.n}", headers=[("own", b"1")])


@agent
def routed(item: Item) -> list[Out[Item]]:
    return [Out(item), Out(item, to="late")]


class Opened:
    """An agent with clients."""

    def __init__(self) -> None:
        self._is_open = False

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False

    async def __call__(self, item: Item) -> Item:
        item.text = f"open {self._is_open}"
        return item


@agent
def failing(item: Item) -> Item:
    """Spoil the item, and fail for the number 2."""
    item.text += "spoiled"
    if item.n == 2:
        raise ValueError("two")
    item.text = ""
    return item


@agent
def permanent(item: Item) -> Item:
    if item.n == 2:
        raise Permanent("never")
    return item


@agent
def busy(item: Item, context: Context) -> Item:
    """Fail at the first two attempts on the number 2."""
    item.text += "+"
    context.metadata["tried"] = context.attempt
    if item.n == 2 and context.attempt <= 2:
        raise OSError("busy")
    return item


@agent
async def grouped(item: Item) -> Item:
    if item.n == 2:
        async with asyncio.TaskGroup() as group:
            group.create_task(_raise(OSError("busy")))
            group.create_task(_raise(Permanent("never")))
    return item


async def _raise(error: Exception) -> None:
    raise error


@agent
async def endless(item: Item) -> Item:
    await asyncio.sleep(60 if item.n == 2 else 0)
    return item


@agent
async def cancelling(item: Item) -> Item:
    if item.n == 2:
        raise asyncio.CancelledError
    return item


@agent
def half(item: Item) -> Iterator[Item]:
    yield item
    if item.n == 2:
        raise ValueError("half")


@agent
def unwritable(item: Item) -> Item:
    return Item.model_construct(n="two" if item.n == 2 else item.n, text="")  # type: ignore[arg-type]  # on purpose


@agent
def unknown_route(item: Item) -> Out[Item]:
    return Out(item, to="nowhere" if item.n == 2 else None)


@agent
def many(item: Item) -> list[Item]:
    return [item] * item.n


@agent
def kept(item: Item | None, context: Context) -> Out[Item | None]:
    """Pass tombstones on."""
    return Out(item, key=context.key)


@agent
def noting(item: Item, context: Context) -> Item:
    """Say what is known of the item's way."""
    metadata = ",".join(f"{name}={value}" for name, value in sorted(context.metadata.items()))
    history = ",".join(f"{one.stage_id}:{one.attempts}" for one in context.stage_history)
    errors = ",".join(one.error_type for one in context.error_log)
    return Item(n=item.n, text=f"{metadata}|{history}|{errors}")


@agent
def remembering(item: Item, context: Context) -> Item:
    context.metadata["seen"] = item.n
    return item


@agent
def spoiling(item: Item, context: Context) -> Item:
    context.metadata["spoiled"] = True
    if item.n == 2:
        raise ValueError("two")
    return item


def joined(item: Item, one: Item, two: Item) -> Item:
    return Item(n=item.n, text=one.text + two.text)


def is_even(item: Item) -> bool:
    return item.n % 2 == 0


async def marking(data: Item, stage: Stage, context: Context) -> Item:
    data.text += f"<{stage.stage_id}{context.attempt}>"
    return data


async def wrapping(data: Item, stage: Stage, context: Context, call: Call) -> Any:
    """Replace what fails for good, and count calls."""
    context.metadata["calls"] = context.metadata.get("calls", 0) + 1
    try:
        return await call(data)
    except ValueError:
        return Item(n=data.n, text=f"replaced at {stage.stage_id}")


def one(step: Agent[Any, Any], policy: Policy | None = None, **settings: Any) -> Callable[[P], P]:
    """One stage called `s`."""
    return lambda p: p.stage(step, name="s", on_error=policy or dead_letter(), **settings)


def then(*steps: Agent[Any, Any], fused: bool) -> Callable[[P], P]:
    """Stages called `s0`, `s1` and so on."""

    def add(pipeline: P) -> P:
        for i, step in enumerate(steps):
            pipeline = pipeline.stage(
                step, name=f"s{i}", fused=fused and i > 0, on_error=dead_letter()
            )
        return pipeline

    return add


def later_behind(step: Agent[Any, Any], *, fused: bool) -> Callable[[P], P]:
    """Stage `s1`, which is retried later, behind one that makes two items of each."""
    return lambda p: p.stage(doubled, name="s0").stage(step, name="s1", fused=fused, on_error=LATER)


def using(stages: Callable[[P], P], *middleware: Any) -> Callable[[P], P]:
    return lambda p: stages(p.use(*middleware))


def numbers(text: str = "", *, without: int | None = None) -> list[tuple[int, str]]:
    return [(n, text) for n in range(4) if n != without]


LETTER = [("s", "failed")]
EXHAUSTED = [("s", "exhausted")]
BY_KIND = retry(2, backoff=AT_ONCE).on({ValueError: drop()})


class Sibling(BaseModel):
    """A value with the same fields as an `Item`."""

    n: int
    text: str = ""


@agent
def told_apart(value: Item | Sibling) -> Item:
    return Item(n=value.n, text=type(value).__name__)


@agent
def told_apart_later(value: Item | Sibling, context: Context) -> Item:
    """Fail at the first two attempts, and say of which type the value is and whether it was so."""
    if context.attempt <= 2:
        raise LookupError("not yet")  # no fault of the world, for which records would be held
    is_own = context.topic.endswith("siblings") is isinstance(value, Sibling)
    return Item(n=value.n, text=type(value).__name__ if is_own else "of another topic")


@agent
def with_its_topic(value: Item | Sibling, context: Context) -> Item:
    return Item(n=value.n, text=context.topic.rpartition(".")[2])


@agent
def counted(value: Item | Sibling | None) -> Item:
    return Item(n=-1 if value is None else value.n)


SHAPES = [
    Scenario("a plain agent", one(marked), outputs=numbers("+")),
    Scenario("an async agent", one(waiting), outputs=numbers("+")),
    Scenario("a blocking agent", one(blocking), outputs=numbers("+")),
    Scenario("an agent with clients", one(agent(name="o")(Opened())), outputs=numbers("open True")),
    Scenario("a filter", one(odd_only), outputs=[(1, ""), (3, "")]),
    Scenario("a list", one(doubled), outputs=[*numbers(), *numbers("again")]),
    Scenario("a generator", one(yielded), outputs=[*numbers("a"), *numbers("b")]),
    Scenario("an async generator", one(yielded_later), outputs=[*numbers("a"), *numbers("b")]),
    Scenario("another key and headers", one(rekeyed), outputs=numbers()),
    Scenario(
        "a route",
        lambda p: p.stage(routed, name="s", routes={"late": Topic(f"{p.name}.late", Item)}),
        outputs=numbers(),
        routed=numbers(),
    ),
    Scenario(
        "tombstones",
        one(kept),
        [Given(None), Given(b'{"n":1}'), Given(None, None)],
        outputs=[(1, "")],
        letters=[("s", "output")],
        source=Item | None,
    ),
    Scenario("a tombstone that nobody takes", one(same), [Given(None)], letters=[("s", "decode")]),
    *(
        Scenario(
            f"three stages, {'fused' if fused else 'with topics between'}",
            then(marked, doubled, waiting, fused=fused),
            outputs=[*numbers("++"), *numbers("again+")],
        )
        for fused in (False, True)
    ),
]

POLICIES = [
    Scenario("dead_letter", one(failing), outputs=numbers(without=2), letters=LETTER),
    Scenario("skip", one(failing, skip()), outputs=numbers()),
    Scenario("drop", one(failing, drop()), outputs=numbers(without=2)),
    Scenario("stop", one(failing, stop()), [2], stopped_by="s"),
    Scenario("retry", one(failing, RETRY), outputs=numbers(without=2), letters=EXHAUSTED),
    Scenario(
        "retry, then skip", one(failing, retry(2, then=skip(), backoff=AT_ONCE)), outputs=numbers()
    ),
    Scenario(
        "retry, then drop",
        one(failing, retry(2, then=drop(), backoff=AT_ONCE)),
        outputs=numbers(without=2),
    ),
    Scenario(
        "retry, then stop",
        one(failing, retry(2, then=stop(), backoff=AT_ONCE)),
        [2],
        stopped_by="s",
    ),
    Scenario("a retry that succeeds", one(busy, RETRY), outputs=numbers("+")),
    Scenario("another policy by exception", one(failing, BY_KIND), outputs=numbers(without=2)),
    Scenario(
        "the record's own fault is not retried",
        one(permanent, RETRY),
        outputs=numbers(without=2),
        letters=[("s", "permanent")],
    ),
    Scenario(
        "a group of errors",
        one(grouped, RETRY),
        outputs=numbers(without=2),
        letters=[("s", "permanent")],
    ),
    Scenario(
        "a timeout",
        one(endless, timeout_seconds=0.05),
        outputs=numbers(without=2),
        letters=[("s", "timeout")],
    ),
    Scenario(
        "an agent that cancels itself", one(cancelling), outputs=numbers(without=2), letters=LETTER
    ),
    Scenario(
        "outputs of a failed attempt",
        one(half),
        outputs=numbers(without=2),
        letters=LETTER,
    ),
    *(
        Scenario(
            f"an output that cannot be written: {step.name}",
            one(step, RETRY),
            outputs=numbers(without=2),
            letters=[("s", "output")],
        )
        for step in (unwritable, unknown_route)
    ),
    Scenario(
        "too many outputs",
        one(many, max_outputs_per_record=2),
        [1, 3],
        outputs=[(1, "")],
        letters=[("s", "output")],
    ),
    *(
        Scenario(
            f"bytes that do not decode, with {policy.action}",
            one(same, policy),
            [Given(b"{"), Given(b'{"n":"x"}', None, [("h", b"1")]), 1],
            outputs=[(1, "")],
            letters=[("s", "decode")] * 2,
        )
        for policy in (retry(3, then=skip()), skip(), dead_letter())
    ),
    *(
        Scenario(
            f"a failure behind a fan-out, {'fused' if fused else 'with a topic between'}",
            then(doubled, failing, fused=fused),
            [2, 3],
            outputs=[(3, ""), (3, "")],
            letters=[("s1", "failed")] * 2,
        )
        for fused in (False, True)
    ),
]

COMBINED = [
    Scenario(
        "branches and a join", one(parallel(marked, waiting).join(joined)), outputs=numbers("++")
    ),
    Scenario(
        "a choice",
        one(choose(when(is_even, marked), otherwise=same)),
        outputs=[(0, "+"), (1, ""), (2, "+"), (3, "")],
    ),
    Scenario(
        "a fallback", one(fallback(failing, marked)), outputs=[(0, ""), (1, ""), (2, "+"), (3, "")]
    ),
    Scenario(
        "a pool whose first member fails",
        one(pool(failing, same, capacity=1)),
        outputs=numbers(),
    ),
    Scenario(
        "a chain",
        one(chain(marked, failing, waiting)),
        outputs=numbers("+", without=2),
        letters=LETTER,
    ),
]

SURROUNDED = [
    Scenario(
        "middleware before",
        using(then(same, same, fused=False), marking, marking),
        outputs=numbers("<s01><s01><s11><s11>"),
    ),
    Scenario(
        "middleware before fused stages",
        using(then(same, same, fused=True), marking),
        outputs=numbers("<s01><s11>"),
    ),
    Scenario(
        "middleware around a failure",
        using(then(failing, noting, fused=False), wrapping),
        outputs=[*numbers("calls=2||", without=2), (2, "calls=2||")],
    ),
    Scenario(
        "middleware around generators",
        using(one(yielded), wrapping, TimeStages()),
        outputs=[*numbers("a"), *numbers("b")],
    ),
    Scenario(
        "middleware and retries",
        using(one(busy, RETRY), marking),
        outputs=[*numbers("<s1>+", without=2), (2, "<s3>+")],
    ),
    Scenario("redaction", using(one(same), Redact("text", by="#")), outputs=numbers("#")),
    Scenario(
        "validation",
        using(one(same, RETRY), Validate(is_even)),
        outputs=[(0, ""), (2, "")],
        letters=[("s", "permanent")] * 2,
    ),
]

AUDITED = [
    *(
        Scenario(
            f"metadata with audit {audit}, {'fused' if fused else 'with topics between'}",
            then(remembering, same, noting, fused=fused),
            outputs=[(n, f"seen={n}|{'s0:1,s1:1' if audit == 'all' else ''}|") for n in range(4)],
            audit=audit,
        )
        for audit in ("off", "errors", "all")
        for fused in (False, True)
    ),
    Scenario(
        "errors in the trail",
        lambda p: p.stage(busy, name="s", on_error=RETRY).stage(noting),
        outputs=[
            (2, "tried=3|s:3|dependency,dependency"),
            *((n, "tried=1||") for n in (0, 1, 3)),
        ],
    ),
    Scenario(
        "what a failed attempt added",
        lambda p: p.stage(
            spoiling, name="s", on_error=retry(1, then=skip(), backoff=AT_ONCE)
        ).stage(noting),
        outputs=[
            (2, "|s:2|data_processing,data_processing"),
            *((n, "spoiled=True||") for n in (0, 1, 3)),
        ],
    ),
    Scenario(
        "a context that cannot be read",
        then(same, noting, fused=False),
        [Given(b'{"n":1}', headers=[(CONTEXT_HEADER, b"{")])],
        outputs=[(1, "||")],
    ),
    Scenario(
        "headers of a trace",
        then(marked, waiting, fused=False),
        [Given(b'{"n":1}', headers=[("traceparent", b"00-a-b-01"), ("tracestate", b"v=1")])],
        outputs=[(1, "++")],
    ),
]

SEVERAL = [
    Scenario(
        "two sources with a type each",
        then(told_apart, marked, fused=False),
        [0, Given(b'{"n":1}', source="siblings"), 2, Given(b'{"n":3}', source="siblings")],
        outputs=[(0, "Item+"), (1, "Sibling+"), (2, "Item+"), (3, "Sibling+")],
        others={"siblings": Sibling},
    ),
    Scenario(
        "two sources whose topics the context names",
        then(with_its_topic, marked, fused=True),
        [0, Given(b'{"n":1}', source="siblings")],
        outputs=[(0, "in+"), (1, "siblings+")],
        others={"siblings": Sibling},
    ),
    Scenario(
        "two sources with a type each, retried later",
        lambda p: p.stage(told_apart_later, name="s", on_error=LATER),
        [0, Given(b'{"n":1}', source="siblings"), Given(b'{"n":2}', source="siblings")],
        outputs=[(0, "Item"), (1, "Sibling"), (2, "Sibling")],
        others={"siblings": Sibling},
    ),
    Scenario(
        "two sources, of which one declares tombstones",
        lambda p: p.stage(counted, name="s"),
        [Given(None), Given(None, source="siblings"), Given(b'{"n":2}', source="siblings")],
        outputs=[(-1, ""), (2, "")],
        letters=[("s", "decode")],
        source=Item | None,
        others={"siblings": Sibling},
    ),
    Scenario(
        "two sources of one union",
        then(told_apart, fused=False),
        [Given(b'{"n":1}'), Given(b'{"n":2}', source="more")],
        outputs=[(1, "Item"), (2, "Item")],
        source=Item | Sibling,
        others={"more": Item | Sibling},
    ),
    Scenario(
        "a source by name and others by a pattern",
        then(with_its_topic, marked, fused=True),
        [
            0,
            Given(b'{"n":1}', source="many.a"),
            Given(b'{"n":2}', source="many.b"),
            Given(b"{", source="many.b"),
        ],
        outputs=[(0, "in+"), (1, "a+"), (2, "b+")],
        letters=[("s0", "decode")],
        matching=Sibling,
    ),
    Scenario(
        "bytes of another type in one of two sources",
        lambda p: p.stage(told_apart, name="s"),
        [0, Given(b"{", source="siblings"), Given(b'{"n":"x"}', source="siblings"), 3],
        outputs=[(0, "Item"), (3, "Item")],
        letters=[("s", "decode")] * 2,
        others={"siblings": Sibling},
    ),
]

RETRIED_LATER = [
    Scenario("a later retry that succeeds", one(busy, LATER), outputs=numbers("+")),
    Scenario(
        "later retries that are used up",
        one(failing, LATER),
        outputs=numbers(without=2),
        letters=EXHAUSTED,
    ),
    Scenario(
        "retries at once and later",
        one(failing, retry(1, then=retry_later([0.001], then=dead_letter()), backoff=AT_ONCE)),
        outputs=numbers(without=2),
        letters=EXHAUSTED,
    ),
    Scenario(
        "later retries, then skip",
        one(failing, retry_later([0.001], then=skip())),
        outputs=numbers(),
    ),
    Scenario(
        "later retries, then stop",
        one(failing, retry_later([0.001], then=stop())),
        [2],
        stopped_by="s",
    ),
    Scenario(
        "later retries by exception",
        one(busy, dead_letter().on({OSError: LATER})),
        outputs=numbers("+"),
    ),
    Scenario(
        "later retries of an agent that waits",
        one(endless, LATER, timeout_seconds=0.05),
        outputs=numbers(without=2),
        letters=[("s", "timeout")],
    ),
    Scenario(
        "the record's own fault is not retried later",
        one(permanent, LATER),
        outputs=numbers(without=2),
        letters=[("s", "permanent")],
    ),
    Scenario(
        "bytes that do not decode are not retried later",
        one(same, LATER),
        [Given(b"{"), Given(None), 1],
        outputs=[(1, "")],
        letters=[("s", "decode")] * 2,
    ),
    *(
        Scenario(
            f"a later retry behind a fan-out, {'fused' if fused else 'with a topic between'}",
            later_behind(step, fused=fused),
            [Given(b'{"n":2,"text":""}', b"k", [("h", b"1")]), 3],
            outputs=outputs,
            letters=letters,
        )
        for fused in (False, True)
        for step, outputs, letters in (
            (failing, [(3, ""), (3, "")], [("s1", "exhausted")] * 2),
            (busy, [(2, "+"), (2, "again+"), (3, "+"), (3, "again+")], []),
        )
    ),
    *(
        Scenario(
            f"errors in the trail of what was retried later, with audit {audit}",
            lambda p: p.stage(busy, name="s", on_error=LATER).stage(noting),
            outputs=outputs,
            audit=audit,
        )
        for audit, outputs in (
            ("off", [(n, "tried=3||" if n == 2 else "tried=1||") for n in range(4)]),
            (
                "errors",
                [
                    (2, "tried=3|s:3|dependency,dependency"),
                    *((n, "tried=1||") for n in (0, 1, 3)),
                ],
            ),
            (
                "all",
                [
                    (2, "tried=3|s:3|dependency,dependency"),
                    *((n, "tried=1|s:1|") for n in (0, 1, 3)),
                ],
            ),
        )
    ),
]

SCENARIOS = [
    *SHAPES,
    *POLICIES,
    *RETRIED_LATER,
    *COMBINED,
    *SURROUNDED,
    *AUDITED,
    *SEVERAL,
]
