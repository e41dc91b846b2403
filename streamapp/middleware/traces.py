"""Traces by OpenTelemetry: a span for each attempt of a stage, in the trace of the record.

Needs the extra `otel`. A record brings its trace in the headers of W3C Trace Context, and what a
stage makes of it takes the trace on: so one trace goes through all topics. Spans name places and
classes of errors, and never have keys, values or messages.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streamapp.clock import current_clock
from streamapp.observability.exemplars import Exemplars
from streamapp.pipeline.batch_meeting import Batch, current_batch
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call, Letter
from streamapp.pipeline.out import KEEP, Out
from streamapp.pipeline.stage import Stage
from streamapp.record import Headers, event_timestamp, without_error_headers
from streamapp.version import VERSION

_TRACE_HEADERS = ("traceparent", "tracestate")
_W3C = TraceContextTextMapPropagator()
_MOST_REMEMBERED = 10_000
"""Attempts that failed, to which the next attempt on the same value has a link."""

_Value: TypeAlias = tuple[str, str, str, int, int, str]
"""Pipeline, stage, topic, partition, offset and trace of a value."""


class TraceStages:
    """Makes a span of each attempt, and one of each dead letter.

    - The parent of a span is what the producer of the record has put into its headers.
    - A retry has a link to the attempt before it.
    - A call with a batch has a span of its own, with links to the traces of its records, whose
      spans have a link to it.
    - The span of a dead letter has the class of the error, and a link to the last attempt.

    Args:
        provider: makes and samples the spans; by default the one that OpenTelemetry is set to.
        exemplars: is told of the traces that are kept, for the metrics; `None` tells nobody.
    """

    def __init__(
        self,
        provider: trace.TracerProvider | None = None,
        exemplars: Exemplars | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("streamapp", VERSION, provider)
        self._exemplars = exemplars
        self._failed: OrderedDict[_Value, SpanContext] = OrderedDict()

    async def __call__(self, data: Any, stage: Stage, context: Context, call: Call) -> Any:
        """Call the agent within a span, and give its outputs the trace."""
        headers = context.value_headers
        value = _value_of(context, headers)
        links = self._links_to_last_attempt(value)
        began = current_clock().monotonic()
        with self._batch_span(stage, context) as batch_links:
            span = self._tracer.start_span(
                f"process {context.stage_id}",
                _trace_in(headers),
                SpanKind.CONSUMER,
                attributes={**_place_of(context), "streamapp.attempt": context.attempt},
                links=[*links, *batch_links],
                start_time=_now(),
            )
            try:
                with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                    result = await call(data)
            except BaseException as error:
                _mark_failed(span, error)
                self._remember(value, span)
                raise
            finally:
                span.end(_now())
                self._tell(context, span, began)
        return _with_trace(result, headers, span)

    def dead_lettered(self, letter: Letter) -> None:
        """Make a span of a dead letter, which has the class of the error."""
        topic, partition = letter.partition
        trace_of = _trace_header(letter.headers)
        value = (letter.pipeline, letter.stage, topic, partition, letter.offset, trace_of)
        span = self._tracer.start_span(
            f"dead letter of {letter.stage}",
            _trace_in(letter.headers),
            SpanKind.PRODUCER,
            attributes={
                "messaging.destination.name": letter.topic,
                "streamapp.pipeline": letter.pipeline,
                "streamapp.stage": letter.stage,
                "streamapp.dead_letter.reason": letter.reason,
                "streamapp.attempts": letter.attempts,
            },
            links=self._links_to_last_attempt(value),
            start_time=_now(),
        )
        _mark_failed(span, letter.error)
        span.end(_now())

    def _links_to_last_attempt(self, value: _Value) -> list[Link]:
        failed = self._failed.pop(value, None)
        return [] if failed is None else [Link(failed, {"streamapp.link": "last attempt"})]

    def _tell(self, context: Context, span: Span, began: float) -> None:
        """Note the trace for the metrics that the attempt is counted in, if it is kept."""
        known = span.get_span_context()
        if self._exemplars is None or not known.trace_flags.sampled:
            return
        clock = current_clock()
        wall, timestamp = clock.time(), event_timestamp(context.record)
        self._exemplars.note(
            (context.pipeline_id, context.stage_id),
            {
                "trace_id": trace.format_trace_id(known.trace_id),
                "span_id": trace.format_span_id(known.span_id),
            },
            at=wall,
            duration_seconds=clock.monotonic() - began,
            age_seconds=None if timestamp < 0 else wall - timestamp / 1000,
        )

    def _remember(self, value: _Value, span: Span) -> None:
        self._failed[value] = span.get_span_context()
        if len(self._failed) > _MOST_REMEMBERED:
            self._failed.popitem(last=False)

    @contextmanager
    def _batch_span(self, stage: Stage, context: Context) -> Iterator[list[Link]]:
        """The span of the batch that a value is part of, if any; the last value ends it."""
        batch = current_batch()
        if batch is None or len(batch.contexts) == 1:
            yield []
            return
        found = batch.shared.get(self)
        if found is None:
            found = batch.shared[self] = _BatchSpan(self._start_batch(stage, context, batch), batch)
        try:
            yield [Link(found.span.get_span_context(), {"streamapp.link": "batch"})]
        finally:
            found.leave()

    def _start_batch(self, stage: Stage, context: Context, batch: Batch) -> Span:
        sent = (_trace_in(one.value_headers) for one in batch.contexts)
        known = (trace.get_current_span(one).get_span_context() for one in sent)
        return self._tracer.start_span(
            f"process batch of {stage.stage_id}",
            otel_context.Context(),
            SpanKind.CONSUMER,
            attributes={
                "messaging.batch.message_count": len(batch.contexts),
                "messaging.destination.name": context.topic,
                "streamapp.pipeline": context.pipeline_id,
                "streamapp.stage": stage.stage_id,
            },
            links=[Link(one) for one in known if one.is_valid],
            start_time=_now(),
        )


class _BatchSpan:
    """The span of a batch, which ends with the last of its values."""

    def __init__(self, span: Span, batch: Batch) -> None:
        self.span = span
        self._here = len(batch.contexts)

    def leave(self) -> None:
        self._here -= 1
        if not self._here:
            self.span.end(_now())


def _now() -> int:
    """The time of the current clock in nanoseconds."""
    return int(current_clock().time() * 1e9)


def _place_of(context: Context) -> dict[str, str | int]:
    return {
        "messaging.operation.type": "process",
        "messaging.destination.name": context.topic,
        "messaging.destination.partition.id": str(context.partition),
        "messaging.kafka.offset": context.record.offset,
        "streamapp.pipeline": context.pipeline_id,
        "streamapp.stage": context.stage_id,
    }


def _value_of(context: Context, headers: Headers) -> _Value:
    pipeline, stage, offset = context.pipeline_id, context.stage_id, context.record.offset
    return pipeline, stage, context.topic, context.partition, offset, _trace_header(headers)


def _trace_header(headers: Headers) -> str:
    return _trace_headers(headers).get("traceparent", "")


def _trace_headers(headers: Headers) -> dict[str, str]:
    return {
        name: value.decode("ascii", errors="replace")
        for name, value in headers
        if name in _TRACE_HEADERS and value is not None
    }


def _trace_in(headers: Headers) -> otel_context.Context:
    """The trace that came with a value; without one, that of whoever calls."""
    return _W3C.extract(_trace_headers(headers))


def _mark_failed(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(StatusCode.ERROR)  # without a description: it may quote the record


def _with_trace(result: Any, headers: Headers, span: Span) -> Any:
    """What an agent gave, with the trace in the headers of each output."""
    if result is None:
        return None
    if isinstance(result, list):
        return [_with_trace(one, headers, span) for one in result]
    own = _outgoing(span)
    if type(result) is not Out:
        return Out(result, headers=_replaced(headers, own))
    base = headers if result.headers is KEEP else result.headers
    return Out(result.value, result.key, _replaced(base, own), result.to)


def _outgoing(span: Span) -> Sequence[tuple[str, bytes]]:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, trace.set_span_in_context(span, otel_context.Context()))
    return [(name, value.encode()) for name, value in carrier.items()]


def _replaced(headers: Headers, own: Sequence[tuple[str, bytes]]) -> Headers:
    kept = (one for one in without_error_headers(headers) if one[0] not in _TRACE_HEADERS)
    return (*kept, *own)
