"""Spans of attempts, retries, batches and dead letters, on the memory broker in virtual time."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from streamapp.errors import Permanent
from streamapp.middleware.sampled import sampled_provider
from streamapp.middleware.traces import TraceStages
from streamapp.pipeline.agent import agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.policy import dead_letter, retry
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import broker_for, broker_with, in_virtual_time, one_stage

TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736
PARENT = 0x00F067AA0BA902B7
CANARY = "canary"


def traceparent(*, sampled: bool = True, trace: int = TRACE) -> tuple[str, bytes]:
    return "traceparent", f"00-{trace:032x}-{PARENT:016x}-{int(sampled):02x}".encode()


@dataclass(frozen=True)
class Kept:
    """Spans that are kept, of a provider that is made outside of the loop: that reads files."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    async def of(self, broker: FaultyBroker, topology: Topology) -> Sequence[ReadableSpan]:
        """Run up to the end of the topics; the spans in the order of their ends."""
        traces = TraceStages(self.provider)
        service = Service(broker, [topology], clock=broker.clock, middleware=[traces])
        await service.run(until_end=True)
        return self.exporter.get_finished_spans()


@pytest.fixture
def kept(request: pytest.FixtureRequest) -> Kept:
    """Keeps the share of new traces that the test names in its parameter; by default none."""
    provider, exporter = sampled_provider(getattr(request, "param", 0.0)), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Kept(provider, exporter)


def sent_by(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    return context_of(span).span_id


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def trace_in(headers: Sequence[tuple[str, bytes]]) -> str:
    return dict(headers)["traceparent"].decode()


@agent(name="same")
def same(value: bytes) -> bytes:
    return value


@agent(name="twice")
def twice(value: bytes) -> list[Out[bytes]]:
    return [Out(value, key=b"a"), Out(value, headers=(("own", b"1"),))]


@in_virtual_time
async def test_a_span_continues_the_trace_of_its_record_and_each_output_has_it(
    kept: Kept,
) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"v"), headers=(traceparent(), ("other", b"x")))
    [span] = await kept.of(broker, one_stage(twice))
    assert context_of(span).trace_id == TRACE
    assert sent_by(span) == PARENT
    assert span.attributes is not None
    assert span.attributes["messaging.destination.name"] == "p-in"
    outputs = broker.records("p-out")
    assert [trace_in(one.headers) for one in outputs] == [
        f"00-{TRACE:032x}-{id_of(span):016x}-01"
    ] * 2
    assert [[name for name, _ in one.headers] for one in outputs] == [
        ["other", "traceparent"],
        ["own", "traceparent"],
    ]
    assert [one.key for one in outputs] == [b"a", b"k"]


@in_virtual_time
async def test_one_trace_goes_through_fused_stages_and_topics(kept: Kept) -> None:
    broker = await broker_with(
        "in", "p.one", "out", "p.one.dlq", "p.two.dlq", "p.three.dlq", "p.two"
    )
    topology = build(
        Pipeline("p", source=Topic("in", bytes))
        .stage(same, name="one", on_error=dead_letter())
        .stage(same, name="two", on_error=dead_letter())
        .stage(same, name="three", on_error=dead_letter(), fused=True)
        .sink(Topic("out", bytes))
    )
    await broker.write("in", (b"k", b"v"), headers=(traceparent(),))
    one, two, three = await kept.of(broker, topology)
    assert [span.name for span in (one, two, three)] == [
        "process one",
        "process two",
        "process three",
    ]
    assert [sent_by(one), sent_by(two), sent_by(three)] == [PARENT, id_of(one), id_of(two)]


@in_virtual_time
async def test_a_retry_and_a_dead_letter_have_a_link_to_the_attempt_before(
    kept: Kept,
) -> None:
    broker = await broker_for("p")

    @agent
    def fail(value: bytes) -> bytes:
        raise ValueError(f"cannot take {value!r}")

    await broker.write("p-in", (b"k", CANARY.encode()), headers=(traceparent(),))
    spans = await kept.of(broker, one_stage(fail, retry(1, then=dead_letter())))
    first, second, letter = spans
    assert [sent_by(span) for span in spans] == [PARENT] * 3
    assert [[link.context.span_id for link in span.links] for span in spans] == [
        [],
        [id_of(first)],
        [id_of(second)],
    ]
    assert letter.name == "dead letter of stage"
    for span in spans:
        assert span.attributes is not None
        assert span.attributes["error.type"] == "ValueError"
        assert CANARY not in span.to_json()  # neither a message nor a payload
    assert not first.events


@in_virtual_time
async def test_a_dead_letter_that_no_attempt_was_made_of_has_a_span_too(kept: Kept) -> None:
    broker = await broker_with("in", "p.stage.dlq")
    pipeline = Pipeline("p", source=Topic("in", dict))

    @agent
    def take(value: dict) -> None:  # type: ignore[type-arg]  # any
        raise Permanent(str(value))

    topology = build(pipeline.stage(take, name="stage", on_error=dead_letter()), needs_sink=False)
    await broker.write("in", (b"k", b"no json"), headers=(traceparent(),))
    [letter] = await kept.of(broker, topology)
    assert letter.attributes is not None
    assert letter.attributes["error.type"] == "DecodeError"
    assert letter.attributes["streamapp.dead_letter.reason"] == "decode"


@pytest.mark.parametrize("kept", [1.0], indirect=True)
@in_virtual_time
async def test_a_batch_has_a_span_with_links_to_each_record_and_from_each(kept: Kept) -> None:
    broker = await broker_for("p")

    @batch_agent(size=3, linger_seconds=1)
    async def all_at_once(values: list[bytes]) -> list[bytes]:
        return values

    for trace in (1, 2, 3):
        await broker.write("p-in", (b"%d" % trace, b"v"), headers=(traceparent(trace=trace),))
    spans = await kept.of(broker, one_stage(all_at_once))
    [batch] = [span for span in spans if span.name == "process batch of stage"]
    single = [span for span in spans if span is not batch]
    assert sorted(context_of(span).trace_id for span in single) == [1, 2, 3]
    assert [[link.context.span_id for link in span.links] for span in single] == [
        [id_of(batch)]
    ] * 3
    assert [link.context.trace_id for link in batch.links] == [1, 2, 3]
    assert batch.end_time is not None
    assert sorted(trace_in(one.headers)[3:35] for one in broker.records("p-out")) == [
        f"{trace:032x}" for trace in (1, 2, 3)
    ]


@pytest.mark.parametrize(("sampled", "kept"), [(True, 0.0), (False, 1.0)], indirect=["kept"])
@in_virtual_time
async def test_whoever_began_a_trace_decides_whether_it_is_kept(sampled: bool, kept: Kept) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"v"), headers=(traceparent(sampled=sampled),))
    spans = await kept.of(broker, one_stage(same))
    assert len(spans) == sampled
    [output] = broker.records("p-out")
    assert trace_in(output.headers).startswith(f"00-{TRACE:032x}-")
    assert trace_in(output.headers).endswith("-01" if sampled else "-00")


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0.0), (1.0, 1.0)], indirect=["kept"])
@in_virtual_time
async def test_of_traces_that_begin_here_a_share_is_kept_and_the_next_stages_follow(
    share: float, kept: Kept
) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *[(b"k", b"v")] * 20)
    spans = await kept.of(broker, one_stage(same))
    assert len(spans) == 20 * share
    flags = {int(trace_in(one.headers)[-2:], 16) & 1 for one in broker.records("p-out")}
    assert flags == {int(share)}


@pytest.mark.parametrize("kept", [1.0], indirect=True)
@in_virtual_time
async def test_a_batch_that_fails_as_a_whole_ends_its_span_and_each_record_is_traced_alone(
    kept: Kept,
) -> None:
    broker = await broker_for("p")

    @batch_agent(size=2, linger_seconds=1)
    async def all_or_none(values: list[bytes]) -> list[bytes]:
        if len(values) > 1:
            raise ValueError(CANARY)
        return values

    await broker.write("p-in", (b"a", b"v"), (b"b", b"v"))
    spans = await kept.of(broker, one_stage(all_or_none))
    [batch] = [span for span in spans if span.name == "process batch of stage"]
    failed = [span for span in spans if "error.type" in (span.attributes or {})]
    assert [span.links[0].context.span_id for span in failed] == [id_of(batch)] * 2
    alone = [span for span in spans if span not in (batch, *failed)]
    links = [[link.context.span_id for link in span.links] for span in alone]
    assert sorted(links) == sorted([id_of(span)] for span in failed)
    assert not [span for span in spans if CANARY in span.to_json()]
    sent = {trace_in(one.headers)[36:52] for one in broker.records("p-out")}
    assert sent == {f"{id_of(span):016x}" for span in alone}
