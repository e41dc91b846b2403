"""What sending letters back would do: how many are sent, and how many the stage can read now."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from streamapp.brokers.protocols import ReadingBroker
from streamapp.dead_letter_tools.fates import Fate, Place, Sorting
from streamapp.dead_letter_tools.reading import read_letters
from streamapp.dead_letter_tools.targets import Target
from streamapp.errors import UnreadableRecordError
from streamapp.letters.ledger import Ledger
from streamapp.letters.letter import Letter
from streamapp.pipeline.execution.executor import Executor
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.describe import describe
from streamapp.policies.policy import dead_letter
from streamapp.record import TopicPartition, event_time_in
from streamapp.runtime.dead_letters import fault_of, fingerprint
from streamapp.topics.topic import Topic


@dataclass(slots=True)
class Refused:
    """Letters that the code of a stage still fails on, in the same way.

    Attributes:
        error: class of the error.
        place: where the fault is, without values.
        message: its message, which may quote the record.
        count: how many.
        sample: where one of them stands.
    """

    error: str
    place: str
    message: str
    count: int
    sample: str


@dataclass(slots=True)
class StagePreview:
    """Whether one stage takes the letters that could be sent to it.

    Attributes:
        looked_at: how many there are.
        passed: how many of them its code takes now.
        refused: why the others are not taken, by fingerprint.
    """

    looked_at: int = 0
    passed: int = 0
    refused: dict[str, Refused] = field(default_factory=dict)

    def refuse(self, stage: str, letter: Letter, error: Exception) -> None:
        """Count a letter that is not taken."""
        kind = fingerprint(stage, error)
        found = self.refused.get(kind)
        if found is None:
            name = type(error).__name__
            told = Refused(name, fault_of(error), describe(error), 1, letter.address)
            self.refused[kind] = told
        else:
            found.count += 1


@dataclass(slots=True)
class Preview:
    """What sending letters back would do.

    Attributes:
        fates: how many letters have which fate.
        stages: whether they take the letters.
        stages_unknown: pipelines and stages of letters that none of these stages takes.
        touched: dead-letter topics of whose letters something becomes.
        failing: places of the letters that the code does not take.
        first: places of the letters that would be sent, if their number is limited: whoever reads
            several partitions again may find others first.
        unreadable: why records cannot be read.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    stages: dict[Target, StagePreview] = field(default_factory=dict)
    stages_unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)
    failing: set[Place] = field(default_factory=set)
    first: set[Place] = field(default_factory=set)
    unreadable: list[UnreadableRecordError] = field(default_factory=list)


class Previewer:
    """Looks at letters, and changes nothing.

    Args:
        sorting: says what becomes of each letter.
        tries: call the agents, whatever they do beside giving outputs.
        sends_failing: letters that the code does not take are sent too.
        limit: most letters that would be sent; `None` for all.
        on_looked: told how many more letters were looked at.
    """

    def __init__(
        self,
        sorting: Sorting,
        *,
        tries: bool = False,
        sends_failing: bool = False,
        limit: int | None = None,
        on_looked: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._sorting = sorting
        self._tries = tries
        self._sends_failing = sends_failing
        self._limit = limit
        self._on_looked = on_looked
        self._executors: dict[Target, Executor[Any, Any]] = {}
        self.result = Preview()

    async def look(
        self, broker: ReadingBroker, ledger: Ledger, ends: Mapping[TopicPartition, int]
    ) -> None:
        """Look at the letters of a dead-letter topic below these offsets.

        Raises:
            BrokerError: they cannot be read.
            StageError: an agent cannot be opened.
        """
        async with AsyncExitStack() as stack:
            told = self.result.unreadable.append
            letters = read_letters(broker, ends, on_unreadable=told)
            async for letter in await stack.enter_async_context(aclosing(letters)):
                if self._limit is not None and self.result.fates[Fate.SEND] >= self._limit:
                    break
                await self._look_at(letter, ledger, stack)
                self._on_looked(1)
            self._executors.clear()

    async def _look_at(self, letter: Letter, ledger: Ledger, stack: AsyncExitStack) -> None:
        fate, target = self._sorting.fate_of(letter, ledger.entry_of(letter))
        if fate is Fate.NO_STAGE:
            self.result.stages_unknown[letter.told.pipeline, letter.told.stage] += 1
        if fate is Fate.SEND and target is not None:
            is_taken = await self._is_taken(letter, target, stack)
            if not is_taken and not self._sends_failing:
                fate = Fate.STILL_FAILS
                self.result.failing.add((letter.place, letter.offset))
        if fate is Fate.SEND and self._limit is not None:
            self.result.first.add((letter.place, letter.offset))
        self.result.fates[fate] += 1
        if fate in (Fate.SEND, Fate.QUARANTINE):
            self.result.touched.add(letter.place.topic)

    async def _is_taken(self, letter: Letter, target: Target, stack: AsyncExitStack) -> bool:
        """Whether the code of a stage takes a letter."""
        stage = self.result.stages.setdefault(target, StagePreview())
        stage.looked_at += 1
        executor = await self._executor_of(target, stack) if self._tries else None
        try:
            value = target.read(letter)
            if executor is not None:
                await _attempt(executor, letter, value)
        except Exception as error:  # noqa: BLE001 - the agent may raise anything
            stage.refuse(target.stage, letter, error)
            return False
        stage.passed += 1
        return True

    async def _executor_of(self, target: Target, stack: AsyncExitStack) -> Executor[Any, Any]:
        """What calls the agent of a stage, which is opened once."""
        found = self._executors.get(target)
        if found is None:
            found = await stack.enter_async_context(_alone(target).executor())
            self._executors[target] = found
        return found


async def _attempt(executor: Executor[Any, Any], letter: Letter, value: Any) -> None:
    """Call the agent once, as an attempt does; what it raises is raised."""
    result = await executor.execute(
        value,
        key=letter.key,
        headers=letter.original_headers,
        timestamp=_event_time(letter),
    )
    if result.error is not None:
        original = result.error.original_error
        raise original if isinstance(original, Exception) else result.error


def _alone(target: Target) -> Pipeline[Any, Any]:
    """A pipeline of that stage alone, which makes one attempt."""
    stage = target.step.stage
    source: Topic[Any] = Topic(f"{target.topic}.preview", stage.agent.input_type)
    pipeline: Pipeline[Any, Any] = Pipeline(target.pipeline, source=source)
    alone = pipeline.stage(
        stage.agent,
        name=target.stage,
        on_error=dead_letter(),
        routes=target.step.routes,
        timeout_seconds=stage.config.timeout_seconds,
        max_outputs_per_record=stage.config.max_outputs_per_record,
    )
    alone.added = target.step.middleware
    return alone


def _event_time(letter: Letter) -> datetime:
    told = letter.told.timestamp_ms
    known = told if told is not None else event_time_in(letter.original_headers)
    milliseconds = letter.timestamp_ms if known is None else known
    return datetime.fromtimestamp(max(0, milliseconds) / 1000, UTC)
