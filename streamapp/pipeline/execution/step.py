"""A stage of an execution: its agent with the handovers around it and what becomes of its outputs.

It is to an execution what `StepRunner` is to a segment: both call the same `AgentCall`.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeAlias

from streamapp.clock import Clock
from streamapp.pipeline import agent_call
from streamapp.pipeline.agent_call import (
    AgentCall,
    EncodedValue,
    check_tombstone,
    too_many_bytes,
    unwritable,
)
from streamapp.pipeline.audit import StageAudit
from streamapp.pipeline.context import Place, RecordContext, context_of_attempt
from streamapp.pipeline.execution.results import ExecutionOutput
from streamapp.pipeline.handover import Handover, undecodable
from streamapp.pipeline.out import KEEP
from streamapp.pipeline.source import Source
from streamapp.pipeline.topology import Segment, middleware_of
from streamapp.pipeline.trail import Trail, keep_header, with_header
from streamapp.record import NO_OFFSET, Headers, without_error_headers
from streamapp.serialisation import Codec, codec_for


class Item:
    """What a stage is given.

    Attributes:
        step: index of the stage.
        packed: its value, as the handover of the stage keeps it.
        key, headers: key and headers of its outputs, unless the agent gives others.
        size: bytes that it holds; a value that is handed over as it is has none.
    """

    __slots__ = ("headers", "key", "packed", "size", "step")

    def __init__(self, step: int, packed: Any, key: bytes | None, headers: Headers) -> None:
        self.step = step
        self.packed = packed
        self.key = key
        self.headers = headers
        self.size = len(packed) if type(packed) is bytes else 0


Made: TypeAlias = Item | ExecutionOutput[Any]
"""An output on its way to the next stage, or one that leaves the pipeline."""


class GivenRecord:
    """The record that a topic would hold for what a segment is given; encoded if somebody asks."""

    __slots__ = ("_handover", "_packed", "headers", "key", "offset", "timestamp")

    def __init__(self, item: Item, handover: Handover, timestamp: int) -> None:
        self._packed = item.packed
        self._handover = handover
        self.key = item.key
        self.headers = item.headers
        self.timestamp = timestamp
        self.offset = NO_OFFSET

    @property
    def value(self) -> bytes | None:
        """Its bytes."""
        return self._handover.packed_bytes(self._packed)


class ExecutionStep:
    """One stage's agent, ready to be called.

    Attributes:
        index: place in the pipeline.
        stage_id: name of the stage.
        is_fused: whether it takes outputs of the stage before it without a topic between.
        policy: its error policy.
        dead_letters: name of its dead-letter topic.
        agent: how the agent is called.
        handover: how it gets what it is given.
        next_handover: how the stage behind it gets its outputs; `None` for the last.
        audit: what it adds to the audit trail.
        collectors: told of each execution; `None` without any.

    Args:
        segment: the segment that it is in.
        index: place in the segment.
        first: place of the segment's first step in the pipeline.
        handover: as above.
        taker: codec of the stage behind it; `None` for the last.
        clock: the time.
        topic: topic that would hold what the segment is given.
    """

    def __init__(
        self,
        segment: Segment,
        index: int,
        first: int,
        handover: Handover,
        taker: Codec[Any] | None,
        clock: Clock,
        *,
        topic: str,
    ) -> None:
        step = segment.steps[index]
        stage = step.stage
        self.index = first + index
        self.stage_id = stage.stage_id
        self.is_fused = index > 0
        self.policy = stage.config.policy
        self.dead_letters = step.dead_letters
        self._max_output_bytes = segment.steps[0].stage.config.max_output_bytes
        self.handover = handover
        self._given: Codec[Any] = codec_for(stage.agent.output_type)
        self.next_handover = None if taker is None else Handover(self._given, taker)
        self._topics = {route: topic.name for route, topic in step.routes.items()}
        self._output_topic = None if step.output is None else step.output.name
        self._timeout_seconds = stage.config.timeout_seconds
        self._place = Place(segment.pipeline, stage.stage_id, topic, 0, clock.time, lambda: None)
        self.audit = StageAudit(step.audit, self._place, stage.agent.name)
        self.agent = AgentCall(
            stage.agent,
            stage_id=stage.stage_id,
            gives=self._given,
            routes=step.routes,
            max_outputs=stage.config.max_outputs_per_record,
            threads=None,
            middleware=middleware_of(step, self._given),
        )
        self.collectors = step.collectors

    def context(
        self, item: Item, record: GivenRecord, attempt: int, kept: Trail | None
    ) -> RecordContext:
        """The context of one attempt."""
        headers = item.headers if self.is_fused else None
        return context_of_attempt(self._place, record, attempt, kept, headers)

    def call(self, item: Item, context: RecordContext | None) -> Any:
        """Call the agent, with a value that no other attempt has; `in_time` awaits an async one.

        Raises:
            DecodeError: the bytes are not what the schema says; other errors are the agent's.
        """
        value = self._load(item)
        function = self.agent.function
        try:
            return function(value) if context is None else function(value, context)
        except asyncio.CancelledError:  # nobody else could: nothing was awaited
            raise self._cancelled_itself() from None

    async def in_time(self, called: Awaitable[Any]) -> Any:
        """Await what an async agent gives, until its deadline.

        Raises:
            TimeoutError: it took too long; other errors are the agent's.
        """
        seconds = self._timeout_seconds
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        before = task.cancelling()
        try:
            async with asyncio.timeout(seconds) as deadline:
                return await called
        except TimeoutError:
            if not deadline.expired():
                raise
            raise TimeoutError(f"the attempt took longer than {seconds:g} s") from None
        except asyncio.CancelledError:
            if task.cancelling() > before:
                raise
            raise self._cancelled_itself() from None

    def _cancelled_itself(self) -> RuntimeError:
        return RuntimeError(f"the agent of stage {self.stage_id!r} cancelled itself")

    def accept(
        self, item: Item, outputs: Sequence[agent_call.AgentOutput], header: bytes | None
    ) -> list[Made]:
        """Make the outputs of an attempt: all of them, or none and an error.

        Raises:
            RecordError: one cannot be written.
        """
        headers = item.headers
        if headers or header is not None:
            headers = with_header(without_error_headers(headers), header)
        return [self._make(output, item.key, headers) for output in outputs]

    def pass_on(self, item: Item, header: bytes | None) -> Made:
        """Let the data flow on unchanged: the policy `skip`."""
        data = self.handover.packed_bytes(item.packed)
        headers = with_header(without_error_headers(item.headers), header)
        return self._make((EncodedValue(data), KEEP, KEEP, None), item.key, headers)

    def shown(self, one: Made) -> ExecutionOutput[Any]:
        """An output as the result of this stage shows it; the next stage may take it."""
        if isinstance(one, ExecutionOutput):
            return one
        assert self.next_handover is not None  # noqa: S101 - the last stage makes no items
        data = self.next_handover.packed_bytes(one.packed)
        return self._output(data, one.key, one.headers, None)

    def check_bytes(self, count: int) -> None:
        """Refuse outputs of one record that take more bytes than they may.

        Raises:
            TooManyOutputsError: they do.
        """
        if count > self._max_output_bytes:
            raise too_many_bytes(self.stage_id, self._max_output_bytes)

    def _load(self, item: Item) -> Any:
        try:
            return self.handover.unpack(item.packed)
        except Exception as error:
            failure = undecodable(self.handover.packed_bytes(item.packed), error)
            if failure is error:
                raise
            raise failure from error

    def _make(self, output: agent_call.AgentOutput, key: bytes | None, headers: Headers) -> Made:
        value, own_key, own_headers, route = output
        key = key if own_key is KEEP else own_key
        headers = headers if own_headers is KEEP else keep_header(own_headers, headers)
        check_tombstone(value, key)
        if route is None and self.next_handover is not None:
            return Item(self.index + 1, self.next_handover.pack(value), key, headers)
        return self._output(self._encoded(value), key, headers, route)

    def _output(
        self, data: bytes | None, key: bytes | None, headers: Headers, route: str | None
    ) -> ExecutionOutput[Any]:
        return ExecutionOutput(
            data,
            self._given,
            stage_id=self.stage_id,
            key=key,
            headers=headers,
            topic=self._output_topic if route is None else self._topics[route],
            route=route,
        )

    def _encoded(self, value: Any) -> bytes | None:
        if type(value) is EncodedValue:
            return value.data
        try:
            return self._given.encode(value)
        except Exception as error:
            raise unwritable(error) from error


def steps_of(
    segments: Sequence[Segment], given: Codec[Any], source: Source, clock: Clock
) -> list[ExecutionStep]:
    """The stages of a pipeline, in their order.

    Args:
        segments: their segments.
        given: codec of the data.
        source: the topic that would hold the data, one of the first segment's.
        clock: the time.
    """
    places = [(segment, i) for segment in segments for i in range(len(segment.steps))]
    steps: list[ExecutionStep] = []
    first = 0
    handover = Handover(given, source.codec)
    for n, (segment, i) in enumerate(places):
        first = n if i == 0 else first
        topic = source.topic if segment is segments[0] else segment.sources[0].topic
        taker = None
        if n + 1 < len(places):
            following, j = places[n + 1]
            taker = following.steps[j].codec
        steps.append(ExecutionStep(segment, i, first, handover, taker, clock, topic=topic))
        handover = steps[-1].next_handover or handover
    return steps
