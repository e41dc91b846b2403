"""What has to come of each record, and whether it stands in the logs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Record
from tests.simulation.workload import SINK, SOURCE, Agents

Way: TypeAlias = tuple[tuple[int, str], ...]
"""The stages that a value went through, each with the value that it was given."""

Leaf: TypeAlias = tuple[str, bytes, Way]
"""An output: its topic, its value, and its way."""


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, as the pipeline was declared.

    Attributes:
        group, source: its consumer group, and the topic that it reads.
        first, last: the stages that it runs.
        output: the topic that the last of them writes to.
        bound: records that it may have in flight.
        ordering: which records wait for one another.
    """

    group: str
    source: str
    first: int
    last: int
    output: str
    bound: int
    ordering: str


class Outcomes:
    """Compares what was written with what the agents' plans say.

    Attributes:
        parts: the segments, in order.
        written: how often each value stands in each topic.
    """

    def __init__(self, agents: Agents) -> None:
        self.parts = list(_parts(agents))
        self.written: dict[tuple[str, bytes], int] = {}
        self._agents = agents

    def is_finished(self, part: Part, record: Record) -> bool:
        """Whether all that has to come of a record is in the logs."""
        value = text(record.value)
        if value is not None:
            return self._has_ended(part, part.first, value)
        last_word = self._agents.scenario.stages[part.first].last_word
        letter = (letters(part.first), record.value or b"") in self.written
        return letter or last_word is ErrorPolicy.DROP

    def leaves(self, part: Part, record: Record) -> Iterator[Leaf]:
        """All that may come of a record, in the order in which it leaves."""
        value = text(record.value)
        if value is None:
            yield letters(part.first), record.value or b"", ()
        else:
            yield from self._leaves(part, part.first, value, ())

    def _has_ended(self, part: Part, stage: int, value: str) -> bool:
        agents = self._agents
        plan = agents.plan(stage, value)
        tainted = (stage, value) in agents.tainted
        if not plan.must_fail:
            if plan.outputs:
                through = all(self._is_out(part, stage, output) for output in plan.outputs)
            else:
                through = agents.returned[stage, value] > 0
            if through or not (plan.may_fail or tainted):
                return through
        draw = agents.scenario.stages[stage]
        if (letters(stage), as_bytes(value)) in self.written:
            return True
        if draw.last_word is ErrorPolicy.SKIP:
            return self._is_out(part, stage, value)
        if draw.last_word is ErrorPolicy.DROP:
            return agents.failed[stage, value] > 0 or (tainted and agents.started[stage, value] > 0)
        return False

    def _is_out(self, part: Part, stage: int, value: str) -> bool:
        if stage == part.last:
            return (part.output, as_bytes(value)) in self.written
        return self._has_ended(part, stage + 1, value)

    def _leaves(self, part: Part, stage: int, value: str, way: Way) -> Iterator[Leaf]:
        plan = self._agents.plan(stage, value)
        passed_on = [*plan.outputs]
        if self._agents.scenario.stages[stage].last_word is ErrorPolicy.SKIP:
            passed_on.append(value)
        way = (*way, (stage, value))
        for output in passed_on:
            if stage == part.last:
                yield part.output, as_bytes(output), way
            else:
                yield from self._leaves(part, stage + 1, output, way)
        yield letters(stage), as_bytes(value), way


def letters(stage: int) -> str:
    """The dead-letter topic of a stage."""
    return f"sim.s{stage}.dlq"


def as_bytes(value: str) -> bytes:
    """A value as it stands in a topic."""
    return f'"{value}"'.encode()


def text(value: bytes | None) -> str | None:
    """The value of a record; `None` for bytes that do not decode."""
    if value is None or not value.startswith(b'"') or not value.endswith(b'"'):
        return None
    return value[1:-1].decode()


def _parts(agents: Agents) -> Iterator[Part]:
    stages = agents.scenario.stages
    heads = [i for i, stage in enumerate(stages) if not stage.fused]
    for head, following in zip(heads, [*heads[1:], len(stages)], strict=True):
        last = following - 1
        yield Part(
            group=f"sim.s{head}",
            source=SOURCE if head == 0 else f"sim.s{head - 1}",
            first=head,
            last=last,
            output=SINK if last == len(stages) - 1 else f"sim.s{last}",
            bound=stages[head].max_in_flight_records,
            ordering=stages[head].ordering,
        )
