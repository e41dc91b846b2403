"""A step of a segment at work: a stage's agent with its codecs, topics and counters.

Hot path: `call` and `accept` run once for each attempt that is not part of a burst.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, cast

from streamapp.clock import Clock
from streamapp.errors import EncodeError, RecordTooLargeError
from streamapp.observability.stage_metrics import Outcome, StageMetrics
from streamapp.pipeline import agent_call
from streamapp.pipeline.agent_call import (
    AgentCall,
    EncodedValue,
    check_tombstone,
    too_many_bytes,
)
from streamapp.pipeline.audit import StageAudit
from streamapp.pipeline.context import Place, RecordContext, context_of_attempt
from streamapp.pipeline.handover import Handover, undecodable
from streamapp.pipeline.out import KEEP
from streamapp.pipeline.part_figures import no_figures
from streamapp.pipeline.topology import Segment, middleware_of
from streamapp.pipeline.trail import StageEntry, keep_header, with_header
from streamapp.record import (
    Headers,
    TopicPartition,
    address,
    event_timestamp,
    without_error_headers,
)
from streamapp.runtime.decoders import Decoders
from streamapp.runtime.encoding import Outlet
from streamapp.runtime.letter_listeners import listeners_of
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.refusals import Refusals
from streamapp.runtime.work import EncodedOutput, Item, Work
from streamapp.serialisation import Codec, codec_for
from streamapp.status import PipelineStatus
from streamapp.topics.topic import Topic

MOST_LISTED_BYTES = 16_384
"""Outputs of one record that take more leave the burst, so that what is held is looked at."""


class StepRunner:
    """One stage's agent with its codecs, targets and counters.

    Attributes:
        index: place in the segment.
        agent: how the agent is called.
        decoders: bytes to what the agent takes, by the topic that they were read from; only the
            first step of a segment has some.
        outlets: where outputs go, by the route that they name; `None` names the stage's
            own output, which is missing where a fused step takes it, or where there is none.
        stage_id: name of the stage.
        policy: its error policy.
        timeout_seconds: deadline of one attempt.
        handover: how it gets the outputs of the step before it; `None` for the first step.
        next_handover: how the step behind it gets its outputs; `None` for the last step.
        dead_letters: its dead-letter topic.
        retry_topics: where its failed records wait, by how long they do, in seconds.
        metrics: its counters.
        refusals: what its topics have refused.
        places: where its attempts run, by partition, for contexts.
        audit: what it adds to the audit trail.
        letter_listeners: told of each dead letter.
    """

    def __init__(
        self,
        segment: Segment,
        index: int,
        targets: Mapping[str, OutputTopic],
        metrics: StageMetrics,
        threads: Executor,
        *,
        handover: Handover | None,
        clock: Clock,
    ) -> None:
        step = segment.steps[index]
        config = step.stage.config
        self.index = index
        self.pipeline = segment.pipeline
        self.stage_id = step.stage.stage_id
        self.policy = config.policy
        self.timeout_seconds = config.timeout_seconds
        self._max_output_bytes = segment.steps[0].stage.config.max_output_bytes
        self.decoders = Decoders(segment) if index == 0 else Decoders()
        self.retry_topics = {own.delay_seconds: targets[own.name] for own in step.retry_topics}
        self.metrics = metrics
        self.refusals: Refusals | None = None
        self._clock = clock
        self.places = Places(self._place)
        # The place of the audit only names the stage and the clock.
        place = self._place(TopicPartition("", 0))
        self.audit = StageAudit(step.audit, place, step.stage.agent.name)
        self.dead_letters = targets[step.dead_letters]
        given: Codec[Any] = codec_for(step.stage.agent.output_type)
        self.handover = handover
        following = segment.steps[index + 1 : index + 2]
        self.next_handover = Handover(given, following[0].codec) if following else None
        written: dict[str | None, Topic[Any]] = dict(step.routes.items())
        if step.output is not None:
            written[None] = step.output
        self.outlets = {
            route: Outlet(given, targets[topic.name]) for route, topic in written.items()
        }
        metrics.parts = no_figures(step.stage.agent)
        self.agent = AgentCall(
            step.stage.agent,
            stage_id=self.stage_id,
            gives=given,
            routes=step.routes,
            max_outputs=config.max_outputs_per_record,
            threads=threads,
            middleware=middleware_of(step, given),
            parts=metrics.parts,
        )
        self.letter_listeners = listeners_of(step)
        self._collectors = step.collectors
        self._is_last = step.is_last

    def call(self, work: Work) -> Any:
        """Call the agent; for an async one the result is to be awaited.

        Each attempt has a value of its own, so that an agent which changed its input and failed
        gets it unchanged.

        Raises:
            DecodeError: the bytes are not what the schema says.
        """
        value, context = self.prepare(work)
        if context is None:
            return self.agent.function(value)
        return self.agent.function(value, context)

    def prepare(self, work: Work) -> tuple[Any, RecordContext | None]:
        """The value of an attempt, which no other has, and its context if the agent takes one.

        Raises:
            DecodeError: the bytes are not what the schema says.
        """
        value = self._load(work)
        if not self.agent.takes_context:
            return value, None
        name, record = work.partition.name, work.record
        if work.earlier is not None:
            name, record = work.origin
        headers = None if work.item is None else work.item.headers
        attempt = work.failures + 1
        context = context_of_attempt(self.places[name], record, attempt, work.kept, headers)
        work.context = context
        return value, context

    def accept(self, work: Work, result: Any) -> int:
        """Take over what an attempt gave: all of it, or nothing and an error.

        Returns:
            How many outputs it gave.

        Raises:
            RecordError: there are too many, or one is of the wrong type, too large or has an
                unknown route; or their bytes are more than may be in flight.
        """
        outputs = self.agent.outputs(result, len(work.outputs or ()) + len(work.pending or ()))
        # All are made before the first is placed: a failed attempt leaves nothing behind.
        outcome = Outcome.PROCESSED if outputs else Outcome.FILTERED
        made, size = self._make_all(work, outputs, outcome, work.failures + 1)
        work.output_bytes += size
        work.partition.in_flight_bytes += size
        for one in made:
            if type(one) is tuple:
                self._check(work, one[0])
        for one in made:
            if type(one) is tuple:
                _keep_output(work, one)
        for one in reversed(made):  # the next item stands last
            if type(one) is Item:
                _keep_output(work, one)
        return len(made)

    undecodable = staticmethod(undecodable)

    def _make_all(
        self, work: Work, outputs: Sequence[agent_call.AgentOutput], outcome: Outcome, attempts: int
    ) -> tuple[list[EncodedOutput | Item], int]:
        """The outputs of a value, and their bytes.

        Raises:
            RecordError: one cannot be written, or they take too many bytes.
        """
        origin = work.record if work.item is None else work.item
        headers, is_audit = self._headers(work, outcome, attempts)
        already = work.output_bytes
        try:
            return self._make_each(outputs, origin.key, headers, already)
        except RecordTooLargeError:
            if not is_audit:
                raise
        # What the audit adds is no reason to fail.
        headers = without_error_headers(origin.headers)
        return self._make_each(outputs, origin.key, headers, already)

    def make_all_written(
        self, result: Any, key: bytes | None, headers: Headers
    ) -> Sequence[EncodedOutput] | None:
        """The outputs of a result that is a list, if all go to topics with the key of the record.

        `None` if one does not or cannot, or if they are large: then `accept` is to look closer.
        """
        if self.next_handover is not None:
            return None
        try:
            made, size = self._make_each(self.agent.outputs(result), key, headers, 0)
        except Exception:  # noqa: BLE001 - checking an output may run code of the user
            return None
        written = cast("Sequence[EncodedOutput]", made)  # nothing is handed over
        is_usual = size <= MOST_LISTED_BYTES and all(own == key for _, own, _, _ in written)
        return written if is_usual else None

    def _make_each(
        self,
        outputs: Sequence[agent_call.AgentOutput],
        key: bytes | None,
        headers: Headers,
        already: int,
    ) -> tuple[list[EncodedOutput | Item], int]:
        made: list[EncodedOutput | Item] = []
        size = 0
        for given in outputs:
            one = self.make_output(given, key, headers)
            made.append(one)
            held = one.packed if type(one) is Item else one[2]  # type: ignore[index]  # else a tuple
            if type(held) is bytes:
                size += len(held)
            if already + size > self._max_output_bytes:
                raise too_many_bytes(self.stage_id, self._max_output_bytes)
        return made, size

    @property
    def needs_every_record(self) -> bool:
        """Whether something has to be done for each record, so that none stays in a burst."""
        return self.audit.is_total or self._collectors is not None

    def tell(self, work: Work, status: PipelineStatus, *, flows_on: bool) -> None:
        """Tell collectors that the stage is done with a value.

        Args:
            work: the record.
            status: how it ended here.
            flows_on: whether it has outputs, which the next stage may take.
        """
        if self._collectors is None:
            return
        now = self._clock.monotonic()
        duration = 0.0 if work.began is None else now - work.began
        self._collectors.stage(self.pipeline, self.stage_id, duration, status)
        if self._is_last or not flows_on:
            timestamp = event_timestamp(work.record)
            age = duration if timestamp < 0 else self._clock.time() - timestamp / 1000
            self._collectors.pipeline(self.pipeline, max(0.0, age), status)

    def entry(self, work: Work, outcome: Outcome, attempts: int) -> StageEntry:
        """What the stage has done with a value, for the audit trail."""
        now = self._clock.monotonic()
        duration = 0.0 if work.began is None else now - work.began
        return self.audit.entry(outcome, self._clock.time() - duration, duration, attempts)

    def _headers(self, work: Work, outcome: Outcome, attempts: int) -> tuple[Headers, bool]:
        """Headers of what leaves the stage, and whether only the audit has changed them.

        Raises:
            EncodeError: the metadata of the context are no JSON, or too large.
        """
        headers = (work.record if work.item is None else work.item).headers
        trail, context = work.kept, work.context
        if context is not None and context.trail is not None:
            trail = context.trail
        if trail is None and not self.audit.is_total:
            return without_error_headers(headers), False
        entry = self.entry(work, outcome, attempts)
        place, record = work.origin
        origin = address(place, record.offset)
        header = self.audit.header_of_output(trail, headers, entry, work.failures, origin)
        is_audit = header is not None and (trail is None or not trail.metadata)
        return with_header(without_error_headers(headers), header), is_audit

    def pass_on(self, work: Work) -> None:
        """Let the data flow on unchanged: the policy `skip`."""
        item = work.item
        value = work.record.value if item is None else self.encode_input(item)
        output = EncodedValue(value), KEEP, KEEP, None
        [made], _ = self._make_all(work, [output], Outcome.SKIPPED, work.failures)
        if isinstance(made, tuple):
            self._check(work, made[0])
        _keep_output(work, made)

    def _check(self, work: Work, target: OutputTopic) -> None:
        """Refuse an output that the topic refuses, whatever is in it.

        Raises:
            RecordRefusedError: the topic does not take the timestamp, or has refused it before.
        """
        target.check_timestamp(event_timestamp(work.record))
        if self.refusals is not None:
            self.refusals.check(work.partition.name, work.record.offset, target)

    def _place(self, name: TopicPartition) -> Place:
        return Place(self.pipeline, self.stage_id, *name, self._clock.time, self._unreadable)

    def _unreadable(self) -> None:
        self.metrics.unreadable_contexts += 1

    def encode_input(self, item: Item) -> bytes | None:
        """Bytes that a topic in front of this step would hold for the item."""
        assert self.handover is not None  # noqa: S101 - only the first step has none, and no items
        return self.handover.packed_bytes(item.packed)

    def _load(self, work: Work) -> Any:
        item, handover = work.item, self.handover
        try:
            if item is not None and handover is not None:
                return handover.unpack(item.packed)
            decode = (
                self.decoders[work.partition.name.topic]
                if work.earlier is None
                else self.decoders.of_former_source(work.earlier.source.topic)
            )
            return decode(work.record.value)  # type: ignore[arg-type]  # None raises, and is told apart
        except Exception as error:
            value = work.record.value if item is None else self.encode_input(item)
            failure = undecodable(value, error)
            if failure is error:
                raise
            raise failure from error

    def make_output(
        self, output: agent_call.AgentOutput, key: bytes | None, headers: Headers
    ) -> EncodedOutput | Item:
        """An output on its way to a topic, or as an item of the next step.

        Raises:
            RecordError: it cannot be written, or there is no topic for it.
        """
        value, own_key, own_headers, route = output
        key = key if own_key is KEEP else own_key
        headers = headers if own_headers is KEEP else keep_header(own_headers, headers)
        check_tombstone(value, key)
        if route not in self.outlets:
            if self.next_handover is None:
                raise EncodeError(f"stage {self.stage_id!r} gave an output and has no topic for it")
            return Item(self.index + 1, self.next_handover.pack(value), key, headers)
        outlet = self.outlets[route]
        topic = outlet.topic
        if type(value) is EncodedValue:
            topic.check(key, value.data or b"", headers)
            return topic, key, value.data, headers
        return topic, key, outlet.encode(value, key, headers), headers


class Places(dict[TopicPartition, Place]):
    """Where attempts run, by partition; made when first asked for."""

    def __init__(self, make: Callable[[TopicPartition], Place]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: TopicPartition) -> Place:
        place = self[name] = self._make(name)
        return place


def _keep_output(work: Work, one: EncodedOutput | Item) -> None:
    if isinstance(one, tuple):
        if work.outputs is None:
            work.outputs = [one]
        else:
            work.outputs.append(one)
    elif work.pending is None:
        work.pending = [one]
    else:
        work.pending.append(one)
