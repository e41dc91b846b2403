"""One trace goes through all topics of a pipeline, on every broker."""

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streamapp.errors import Permanent
from streamapp.middleware.sampled import sampled_provider
from streamapp.middleware.traces import TraceStages
from streamapp.pipeline.agent import agent
from streamapp.policies.policy import dead_letter
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig
from tests.kafka import unique_name

TRACE, PARENT = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
TRACEPARENT = "traceparent", f"00-{TRACE:032x}-{PARENT:016x}-01".encode()


@agent
def first(item: Item) -> Item:
    return item


@agent
async def second(item: Item) -> Item:
    if item.n == 1:
        raise Permanent("canary")
    return item


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("traces"))


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = sampled_provider(0.0)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def children(spans: Sequence[ReadableSpan], parent: int) -> list[ReadableSpan]:
    return [one for one in spans if one.parent is not None and one.parent.span_id == parent]


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    assert context.trace_id == TRACE
    return context.span_id


async def test_one_trace_goes_from_the_producer_through_two_topics_to_the_sink_and_the_letters(
    rig: Rig, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    pipeline = rig.pipeline().stage(first).stage(second, on_error=dead_letter()).sink(rig.out)
    await rig.create(pipeline)
    values = [(b"k", b'{"n":%d}' % n) for n in (0, 1)]
    await rig.put(values, headers=[TRACEPARENT, ("other", b"x")])
    await rig.run_to_end(pipeline, middleware=[TraceStages(provider)])

    spans = exporter.get_finished_spans()
    of_first = children(spans, PARENT)
    assert [span.name for span in of_first] == ["process first", "process first"]
    good, bad = (children(spans, id_of(span)) for span in of_first)
    assert [span.name for span in good] == ["process second"]
    assert sorted(span.name for span in bad) == ["dead letter of second", "process second"]
    assert [(span.attributes or {})["error.type"] for span in bad] == ["Permanent", "Permanent"]
    assert len(spans) == 5
    assert not [span for span in spans if "canary" in span.to_json()]

    [output] = await rig.read(rig.out)
    [letter] = await rig.read(rig.dead_letters("second"))
    sent = [dict(one.headers)["traceparent"].decode() for one in (output, letter)]
    assert sent[0] == f"00-{TRACE:032x}-{id_of(good[0]):016x}-01"
    assert sent[1] == f"00-{TRACE:032x}-{id_of(of_first[1]):016x}-01"  # as the stage was given it
    assert dict(output.headers)["other"] == b"x"
