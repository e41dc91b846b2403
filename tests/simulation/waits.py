"""Checks records that wait in retry topics: which may, how long, and where an attempt is from."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from streamapp.pipeline.context import Context
from streamapp.record import TopicPartition
from tests.simulation.loop import EPOCH_SECONDS, VirtualLoop
from tests.simulation.workload import Agents

_TICK_SECONDS = 0.002
"""Times in headers are whole milliseconds."""

Place: TypeAlias = tuple[TopicPartition, int]
"""Where a record was read: its partition and its offset."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record in a retry topic.

    Attributes:
        place: where it stands.
        number: of the delay, from 0 on.
        attempts: how many have failed.
        due: when it may be tried again, in seconds since the epoch.
    """

    place: Place
    number: int
    attempts: int
    due: float


def retry_topic(stage: int, delay_seconds: float) -> str:
    """The topic in which records of a stage wait for so long."""
    is_whole = delay_seconds == int(delay_seconds)
    name = f"{int(delay_seconds)}s" if is_whole else f"{int(delay_seconds * 1000)}ms"
    return f"sim.s{stage}.retry-{name}"


class Waits:
    """Follows the records of retry topics.

    Args:
        agents: know what may fail.
        loop: tells the time.
        complain: called when a promise is broken.
        checks: how often each promise was checked.
    """

    def __init__(
        self,
        agents: Agents,
        loop: VirtualLoop,
        complain: Callable[[str], None],
        checks: Counter[str],
    ) -> None:
        self._agents = agents
        self._stages = agents.scenario.stages
        self._loop = loop
        self._complain = complain
        self._checks = checks
        self._waiting: defaultdict[tuple[int, str], list[Waiting]] = defaultdict(list)

    def moved(
        self, told: str, stage: int, value: str, number: int, place: Place, facts: Mapping[str, str]
    ) -> None:
        """A failed record was written to the retry topic of a delay.

        Args:
            told: the record, for complaints.
            stage: number of the stage that has failed.
            value: its input.
            number: of the delay, from 0 on.
            place: where the record stands.
            facts: its error headers.
        """
        self._checks["waits"] += 1
        delay = self._stages[stage].delays[number]
        if not self._agents.may_wait(stage, value):
            self._complain(f"{told} waits, and does not fail in such a way")
        due, failed_at = int(facts["due"]) / 1000, int(facts["last_failure"]) / 1000
        if abs(due - failed_at - delay) > _TICK_SECONDS:
            self._complain(f"{told} failed at {failed_at} and is due at {due}, not after {delay} s")
        said = facts["retry"], facts["delay"]
        if said != (str(number + 1), str(round(delay * 1000))):
            self._complain(f"{told} says of its delay: {said}")
        waiting = Waiting(place, number, int(facts["attempts"]), due)
        self._waiting[stage, value].append(waiting)
        self._agents.waited.add(value)

    def began(self, stage: int, value: str, context: Context) -> None:
        """An attempt begins, which must be due if it can only be that of a record that waited."""
        found = list(self._of_attempt(stage, value, context.attempt))
        if not found or self._may_be_first(stage, context.attempt):
            return
        self._checks["due"] += 1
        now = EPOCH_SECONDS + self._loop.time()
        if all(waiting.due > now + _TICK_SECONDS for waiting in found):
            dues = [waiting.due - EPOCH_SECONDS for waiting in found]
            self._complain(
                f"attempt {context.attempt} on {value!r} in stage {stage} begins at"
                f" {now - EPOCH_SECONDS:.3f}, and is due at {dues}"
            )

    def places(self, head: int, stage: int, value: str, context: Context) -> list[Place]:
        """Where the record of an attempt may have been read from.

        Args:
            head: first stage of the segment.
            stage: number of the stage.
            value: its input.
            context: of the attempt.
        """
        own = [waiting.place for waiting in self._of_attempt(stage, value, context.attempt)]
        if not self._may_be_first(stage, context.attempt):
            return own
        source = TopicPartition(context.topic, context.partition), context.record.offset
        return [source, *own, *self._from_before(head, stage, value)]

    def have_used_up(self, stage: int, value: str) -> bool:
        """Whether a value has waited in the last retry topic of its stage."""
        last = len(self._stages[stage].delays) - 1
        return any(waiting.number == last for waiting in self._waiting.get((stage, value), ()))

    def _may_be_first(self, stage: int, attempt: int) -> bool:
        """Whether an attempt can be one of those before the first wait."""
        draw = self._stages[stage]
        return not draw.delays or attempt <= 1 + draw.retries

    def _of_attempt(self, stage: int, value: str, attempt: int) -> Iterator[Waiting]:
        """The records in retry topics that such an attempt may be made on."""
        draw = self._stages[stage]
        for waiting in self._waiting.get((stage, value), ()):
            # Behind the last delay, an attempt may be repeated until somebody knows whose fault
            # the failures are.
            is_last = waiting.number == len(draw.delays) - 1
            most = waiting.attempts + 1 + draw.retries
            if waiting.attempts < attempt and (is_last or attempt <= most):
                yield waiting

    def _from_before(self, head: int, stage: int, value: str) -> Iterator[Place]:
        """Records in retry topics of earlier stages of the segment, which led to a value."""
        if not self._waiting:
            return
        words = value.split(".")
        for earlier in range(head, stage):
            for length in range(1, len(words) + 1):
                origin = earlier, ".".join(words[:length])
                yield from (waiting.place for waiting in self._waiting.get(origin, ()))
