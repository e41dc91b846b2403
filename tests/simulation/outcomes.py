"""Which outputs each record must have, and whether they are in the logs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from streamapp.policies.policy import ErrorPolicy
from streamapp.record import CONTEXT_HEADER, Headers, Record, TopicPartition
from tests.simulation.waits import retry_topic
from tests.simulation.workload import SINK, Agents

ERROR_PREFIX = "streamapp.error."

Way: TypeAlias = tuple[tuple[int, str], ...]
"""The stages that a value went through, each with the value that it was given."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """An output that a record may have: its topic, its content, and the stages on its way."""

    topic: str
    value: bytes
    key: bytes | None
    headers: Headers
    way: Way


@dataclass(frozen=True, slots=True)
class Input:
    """The input of a stage.

    Attributes:
        stage: number of the stage.
        value: the value as its agent gets it.
        content: the bytes that are written when the stage skips it or gives it up.
        key, headers: key and headers of its outputs, unless the agent gives others.
        delays_used: how often it has waited in a retry topic of the stage.
    """

    stage: int
    value: str
    content: bytes
    key: bytes | None
    headers: Headers
    delays_used: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, as the pipeline was declared.

    Attributes:
        group, sources: its consumer group, and the topics that it reads.
        first, last: its first and last stage.
        output: the topic that the last stage writes to.
        bound, bytes_bound: records that it may have in flight, and bytes of their values.
        ordering: which records wait for one another.
        waits: its retry topics, each with its stage and the number of its delay.
    """

    group: str
    sources: tuple[str, ...]
    first: int
    last: int
    output: str
    bound: int
    bytes_bound: int
    ordering: str
    waits: Mapping[str, tuple[int, int]] = field(default_factory=dict, hash=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """All topics that it reads."""
        return (*self.sources, *self.waits)


@dataclass(frozen=True, slots=True)
class Origin:
    """The input record of an output, and which of that record's outputs it is.

    Attributes:
        out_key, headers: key and headers of the output.
        way: the stages that it went through, and the input of each.
        first: topic, partition and offset from which the record was read first.
    """

    part: Part
    partition: TopicPartition
    offset: int
    key: bytes | None
    out_key: bytes | None
    headers: Headers
    place: int
    way: Way
    first: tuple[str, str, str]


class Outcomes:
    """Compares what was written with what the plans of the agents say.

    Attributes:
        parts: the segments, in order.
        written: how often each value is in each topic.
    """

    def __init__(self, agents: Agents) -> None:
        self.parts = list(_parts(agents))
        self.written: dict[tuple[str, bytes], int] = {}
        self._agents = agents

    def is_finished(self, part: Part, topic: str, record: Record) -> bool:
        """Whether all outputs that a record of a topic must have are in the logs."""
        given = _input(part, topic, record)
        if given is not None:
            return self._has_ended(part, given)
        last_word = self._agents.scenario.stages[part.first].last_word
        letter = (letters(part.first), record.value or b"") in self.written
        return letter or last_word is ErrorPolicy.DROP

    def leaves(self, part: Part, topic: str, record: Record) -> Iterator[Leaf]:
        """All outputs that a record of a topic may have, in the order in which they are written."""
        given = _input(part, topic, record)
        if given is None:
            content = record.value or b""
            yield Leaf(
                letters(part.first), content, record.key, without_context(record.headers), ()
            )
        else:
            yield from self._leaves(part, given, ())

    def _has_ended(self, part: Part, given: Input) -> bool:
        agents, stage, value = self._agents, given.stage, given.value
        plan = agents.plan(stage, value)
        tainted = (stage, value) in agents.tainted
        if not plan.must_fail:
            if plan.outputs:
                through = all(self._is_out(part, one) for one in self._outputs(given))
            else:
                through = agents.returned[stage, value] > 0
            if through or not (plan.may_fail or tainted or agents.may_wait(stage, value)):
                return through
        draw = agents.scenario.stages[stage]
        if (waits := self._retry_topic(given)) and (waits, given.content) in self.written:
            return True
        if (letters(stage), given.content) in self.written:
            return True
        if draw.last_word is ErrorPolicy.SKIP:
            return self._is_out(part, _handed_on(given))
        if draw.last_word is ErrorPolicy.DROP:
            began = agents.started[stage, value] > 0 or value in agents.in_threads
            least = draw.attempts if draw.delays and plan.may_wait and not tainted else 1
            return agents.failed[stage, value] >= least or (tainted and began)
        return False

    def _is_out(self, part: Part, output: Input) -> bool:
        if output.stage > part.last:
            return (part.output, output.content) in self.written
        return self._has_ended(part, output)

    def _leaves(self, part: Part, given: Input, way: Way) -> Iterator[Leaf]:
        passed_on = list(self._outputs(given))
        if self._agents.scenario.stages[given.stage].last_word is ErrorPolicy.SKIP:
            passed_on.append(_handed_on(given))
        way = (*way, (given.stage, given.value))
        for output in passed_on:
            if output.stage > part.last:
                yield Leaf(part.output, output.content, output.key, output.headers, way)
            else:
                yield from self._leaves(part, output, way)
        yield Leaf(letters(given.stage), given.content, given.key, given.headers, way)
        if (waits := self._retry_topic(given)) is not None:
            yield Leaf(waits, given.content, given.key, given.headers, way)

    def _retry_topic(self, given: Input) -> str | None:
        """Where a value waits if it fails; `None` if it ends then."""
        delays = self._agents.scenario.stages[given.stage].delays
        if given.delays_used >= len(delays):
            return None
        return retry_topic(given.stage, delays[given.delays_used])

    def _outputs(self, given: Input) -> Iterator[Input]:
        agents, stage = self._agents, given.stage
        key = None if agents.scenario.stages[stage].is_keyless else given.key
        for output in agents.plan(stage, given.value).outputs:
            headers = tuple(agents.headers_of(stage, output, given.headers))
            yield Input(stage + 1, output, as_bytes(output), key, headers)


def _input(part: Part, topic: str, record: Record) -> Input | None:
    """The input of the first stage, or of that which goes on; `None` if it does not decode."""
    value = text(record.value)
    if value is None:
        return None
    content, headers = record.value or b"", without_context(record.headers)
    if topic not in part.waits:
        return Input(part.first, value, content, record.key, headers)
    stage, number = part.waits[topic]
    return Input(stage, value, content, record.key, without_facts(headers), number + 1)


def _handed_on(given: Input) -> Input:
    """The input of the next stage after `skip`: the same bytes, with a topic between or without."""
    return replace(given, stage=given.stage + 1, delays_used=0)


def letters(stage: int) -> str:
    """The dead-letter topic of a stage."""
    return f"sim.s{stage}.dlq"


def as_bytes(value: str) -> bytes:
    """A value as it is written to a topic."""
    return f'"{value}"'.encode()


def text(value: bytes | None) -> str | None:
    """The value of a record; `None` for bytes that do not decode."""
    value = (value or b"").rstrip(b" ")
    if not value.startswith(b'"') or not value.endswith(b'"'):
        return None
    return value[1:-1].decode()


def _parts(agents: Agents) -> Iterator[Part]:
    stages = agents.scenario.stages
    heads = [i for i, stage in enumerate(stages) if not stage.fused]
    for head, following in zip(heads, [*heads[1:], len(stages)], strict=True):
        last = following - 1
        yield Part(
            group=f"sim.s{head}",
            sources=agents.scenario.sources.all if head == 0 else (f"sim.s{head - 1}",),
            first=head,
            last=last,
            output=SINK if last == len(stages) - 1 else f"sim.s{last}",
            bound=stages[head].max_in_flight_records,
            bytes_bound=stages[head].max_in_flight_bytes,
            ordering=stages[head].ordering,
            waits={
                retry_topic(stage, delay): (stage, number)
                for stage in range(head, following)
                for number, delay in enumerate(stages[stage].delays)
            },
        )


def without_context(headers: Headers) -> Headers:
    """The headers except that of the context, which says what stages did and when."""
    return tuple((name, content) for name, content in headers if name != CONTEXT_HEADER)


def without_facts(headers: Headers) -> Headers:
    """The headers of a record except its error headers and that of its context."""
    return without_context([pair for pair in headers if not pair[0].startswith(ERROR_PREFIX)])
