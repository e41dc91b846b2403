"""Pipelines: typed stages in sequence, as the user declares them."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from typing_extensions import TypedDict

from streamapp.errors import PipelineError
from streamapp.observability.collector import Collectors, MetricsCollector
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.arguments import (
    check_agent,
    check_audit,
    check_collectors,
    check_settings,
    check_sink,
    check_stage_arguments,
)
from streamapp.pipeline.audit import Audit
from streamapp.pipeline.context import Context
from streamapp.pipeline.make_stage import make_stage
from streamapp.pipeline.middleware import (
    Added,
    AroundMiddleware,
    Middleware,
    checked_middleware,
)
from streamapp.pipeline.sources import checked_sources
from streamapp.pipeline.stage import (
    AfterHold,
    KeyBacklog,
    LostPosition,
    Ordering,
    Stage,
    StageConfig,
)
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import DeadLetterBudget
from streamapp.policies.policy import Policy
from streamapp.record import Headers
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern

if TYPE_CHECKING:
    from streamapp.clock import Clock
    from streamapp.pipeline.execution.executor import Executor, Plan, Progress
    from streamapp.pipeline.execution.results import ExecutionResult

InT = TypeVar("InT")
OutT = TypeVar("OutT")
NextT = TypeVar("NextT")
AT = TypeVar("AT")
BT = TypeVar("BT")
CT = TypeVar("CT")
DT = TypeVar("DT")


class StageSettings(TypedDict, total=False):
    """Fields of `StageConfig` that `Pipeline.stage` takes by keyword."""

    timeout_seconds: float
    concurrency: int
    ordering: Ordering | str
    max_outputs_per_record: int
    max_in_flight_records: int
    max_in_flight_bytes: int
    max_key_backlog_records: int
    on_key_backlog: KeyBacklog | str
    on_lost_position: LostPosition | str
    breaker: BreakerConfig | None
    max_hold_seconds: float | None
    after_hold: AfterHold | str
    dead_letter_budget: DeadLetterBudget | None


@dataclass(frozen=True, slots=True)
class StageDeclaration:
    """A stage with its topics, as one call of `Pipeline.stage` declares it.

    `build` checks the declarations and makes a `Step` of each.

    Attributes:
        stage: the stage.
        fused: whether it runs in the process of the previous stage, with no topic between the two.
        output: topic of its outputs; `None` is the default name.
        routes: topics by the name that `Out(to=…)` uses.
        dead_letters: name of the dead-letter topic; `None` is the default name.
        renamed_from: former name of the stage; `None` if it was not renamed.
    """

    stage: Stage
    fused: bool = False
    output: Topic[Any] | None = None
    routes: Mapping[str, Topic[Any]] = field(default_factory=dict)
    dead_letters: str | None = None
    renamed_from: str | None = None


class Pipeline(Generic[InT, OutT]):
    """A typed sequence of stages between one or several source topics and a sink.

    Immutable: every method returns a new pipeline, so several pipelines can share a beginning.

    ```python
    pipeline = (
        Pipeline("playback-quality", source=Topic("playback.raw", RawPlayback))
        .stage(validate, on_error=dead_letter())
        .stage(enrich, on_error=retry(3), concurrency=64)
        .sink("playback.enriched")
    )
    ```

    Several sources are given as a tuple: `source=(Topic("a", A), Topic("b", B))` makes a pipeline
    whose first stage takes `A | B`. For type checkers these are up to four of different types, or
    any number of one type in a list.

    Attributes:
        name: name of the pipeline; its consumer groups and topics begin with it.
        sources: topics that the first stage reads, by name or by pattern.
        declarations: the stages with their topics.
        audit: what the stages add to the audit trail of the data.
        added: the middleware, in the order in which it was added.
        collectors: told of each execution; `None` without any.
        plan: what `execute` has made of the pipeline; `None` before.
    """

    @overload
    def __init__(
        self: "Pipeline[AT | BT, AT | BT]",
        name: str,
        *,
        source: tuple[Topic[AT] | TopicPattern[AT], Topic[BT] | TopicPattern[BT]],
        audit: Audit | str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: "Pipeline[AT | BT | CT, AT | BT | CT]",
        name: str,
        *,
        source: tuple[
            Topic[AT] | TopicPattern[AT], Topic[BT] | TopicPattern[BT], Topic[CT] | TopicPattern[CT]
        ],
        audit: Audit | str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: "Pipeline[AT | BT | CT | DT, AT | BT | CT | DT]",
        name: str,
        *,
        source: tuple[
            Topic[AT] | TopicPattern[AT],
            Topic[BT] | TopicPattern[BT],
            Topic[CT] | TopicPattern[CT],
            Topic[DT] | TopicPattern[DT],
        ],
        audit: Audit | str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: "Pipeline[NextT, NextT]",
        name: str,
        *,
        source: Topic[NextT] | TopicPattern[NextT] | Sequence[Topic[NextT] | TopicPattern[NextT]],
        audit: Audit | str = ...,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        *,
        source: object,
        audit: Audit | str = Audit.ERRORS,
    ) -> None:
        self.name = name
        self.sources = checked_sources(f"pipeline {name!r}", source)
        self.declarations: tuple[StageDeclaration, ...] = ()
        self.audit = check_audit(f"pipeline {name!r}", audit)
        self.added: tuple[Added, ...] = ()
        self.collectors: Collectors | None = None
        self.plan: Plan | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in their order."""
        return tuple(declared.stage for declared in self.declarations)

    def stage(
        self,
        agent: Agent[OutT, NextT],
        *,
        name: str | None = None,
        on_error: Policy | None = None,
        config: StageConfig | None = None,
        fused: bool = False,
        output: Topic[NextT] | None = None,
        routes: Mapping[str, Topic[Any]] | None = None,
        dead_letters: str | None = None,
        renamed_from: str | None = None,
        **settings: Unpack[StageSettings],
    ) -> "Pipeline[InT, NextT]":
        """Add a stage.

        Args:
            agent: the agent; its input type is the output type of the previous stage.
            name: name of the stage; by default that of the agent.
            on_error: error policy; by default three retries, then dead-letter.
            config: settings of the stage; `on_error` and single settings replace its fields.
            fused: run in the process of the previous stage, with no topic between the two.
            output: topic of its outputs; by default `<pipeline>.<stage>`.
            routes: topics by the name that `Out(to=…)` uses.
            dead_letters: dead-letter topic; by default `<pipeline>.<stage>.dlq`.
            renamed_from: former name of the stage; it resumes at the offsets of that name, and dead
                letters of that name can be sent back to it.
            settings: fields of `StageConfig`, such as `concurrency=64`.

        Raises:
            PipelineError: a setting is unknown or out of range, or an argument has a wrong type.
        """
        check_agent(f"pipeline {self.name!r}", agent)
        stage_id = name if name is not None else agent.name
        where = f"pipeline {self.name!r}, stage {stage_id!r}"
        check_settings(where, settings, StageSettings.__annotations__)
        check_stage_arguments(
            where,
            on_error=on_error,
            config=config,
            output=output,
            routes=routes,
            dead_letters=dead_letters,
            renamed_from=renamed_from,
        )
        stage = make_stage(self.name, stage_id, agent, config, on_error, settings)
        declared = StageDeclaration(
            stage, fused, output, dict(routes or {}), dead_letters, renamed_from
        )
        return self._with((*self.declarations, declared))

    def sink(self, topic: Topic[OutT] | str) -> "Pipeline[InT, OutT]":
        """Set the output topic of the last stage.

        Raises:
            PipelineError: there is no stage, the last stage already has an output topic, or `topic`
                is neither a topic nor a name.
        """
        check_sink(f"pipeline {self.name!r}", topic)
        if not self.declarations:
            raise PipelineError(f"pipeline {self.name!r}: add a stage before .sink()")
        last = self.declarations[-1]
        if last.output is not None:
            raise PipelineError(
                f"pipeline {self.name!r}: stage {last.stage.stage_id!r} writes to"
                f" {last.output.name!r} already; give an output or a sink, and not both"
            )
        output = Topic(topic, last.stage.agent.output_type) if isinstance(topic, str) else topic
        ended = replace(last, output=output)
        return self._with((*self.declarations[:-1], ended))

    def use(self, *middleware: Middleware | AroundMiddleware) -> "Pipeline[InT, OutT]":
        """Run middleware around the agent of every stage, in the order in which it was added.

        Args:
            middleware: async functions, or objects with an async `__call__`, of
                `(data, stage, context)`, which return what the agent gets, or of
                `(data, stage, context, call)`, which return the result and may call the agent.

        Raises:
            PipelineError: one is not async, or has other parameters.
        """
        where = f"pipeline {self.name!r}"
        changed = self._with(self.declarations)
        changed.added = (*self.added, *(checked_middleware(where, one) for one in middleware))
        return changed

    def collect(self, *collectors: MetricsCollector) -> "Pipeline[InT, OutT]":
        """Tell these collectors of each execution of a stage and of the pipeline.

        Raises:
            PipelineError: one is no `MetricsCollector`.
        """
        check_collectors(f"pipeline {self.name!r}", collectors)
        changed = self._with(self.declarations)
        known = self.collectors.collectors if self.collectors is not None else ()
        changed.collectors = Collectors((*known, *collectors))
        return changed

    async def execute(
        self,
        data: InT | bytes | None,
        context: Context | None = None,
        *,
        key: bytes | str | None = None,
        headers: Headers = (),
        timestamp: datetime | None = None,
        source: str | None = None,
    ) -> "ExecutionResult[OutT]":
        """Run data through all stages in this process, without a broker.

        The same agents, policies and checks apply as on Kafka, and values pass between stages as
        through topics. Failures are in the result. Agents with clients are opened before and closed
        after; `executor` keeps them open for many calls.

        Args:
            data: a value of the source's type, or bytes as its topic would hold them; `None` is a
                tombstone.
            context: metadata for the stages; history, errors and status are written to it.
            key: key of the record, text as UTF-8.
            headers: headers of the record.
            timestamp: when the event was; `None` is now.
            source: topic that would hold the data; needed if several take data of this type.

        Raises:
            PipelineError: the pipeline is wrong, has no stage or no such source, or several
                sources take the data.
            EncodeError: the metadata of the context are no JSON, or too large.
            StageError: an agent could not be opened, or has ended by itself.
        """
        async with self.executor() as executor:
            return await executor.execute(
                data, context, key=key, headers=headers, timestamp=timestamp, source=source
            )

    async def execute_many(
        self,
        items: Iterable[InT | bytes] | AsyncIterable[InT | bytes],
        *,
        concurrency: int = 10,
        on_progress: "Progress | None" = None,
        context: Context | None = None,
        source: str | None = None,
    ) -> "AsyncGenerator[ExecutionResult[OutT], None]":
        """Execute the pipeline for each item, and give the results in the order of the items.

        Agents are opened once. At most twice `concurrency` items are held in memory: those that
        run, and those whose results wait for an earlier one.

        Args:
            items: what `execute` takes; an iterable or an async iterable.
            concurrency: how many executions run at once.
            on_progress: called before each result is given, with the number of results so far,
                and that of all items if they have a length, else `None`.
            context: its metadata are copied into a context of each execution.
            source: as for `execute`, for all items.

        Raises:
            PipelineError: the pipeline is wrong, or has no stage; or `concurrency` is below 1.
            StageError: an agent could not be opened, or has ended by itself.
        """
        async with self.executor() as executor:
            results = executor.execute_many(
                items,
                concurrency=concurrency,
                on_progress=on_progress,
                context=context,
                source=source,
            )
            async with aclosing(results):
                async for result in results:
                    yield result

    def executor(
        self, *, clock: "Clock | None" = None, rng: Random | None = None
    ) -> "Executor[InT, OutT]":
        """Make what executes the pipeline any number of times, with its agents open.

        Args:
            clock: the time; by default that of the machine.
            rng: draws the waits between attempts.

        Raises:
            PipelineError: the pipeline is wrong, or has no stage.
        """
        from streamapp.pipeline.execution.executor import executor_of  # noqa: PLC0415 - see below

        # It needs `build`, which needs this module; and asyncio, which most pipelines do not.
        return executor_of(self, clock, rng)

    def _with(self, declarations: tuple[StageDeclaration, ...]) -> "Pipeline[Any, Any]":
        changed: Pipeline[Any, Any] = copy(self)  # with middleware and collectors
        changed.declarations = declarations
        changed.plan = None
        return changed

    def __repr__(self) -> str:
        names = " -> ".join(stage.stage_id for stage in self.stages)
        sources = ", ".join(source.name for source in self.sources)
        return f"<Pipeline {self.name}: {sources} -> {names}>"
