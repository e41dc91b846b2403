"""Pipelines: typed stages in sequence, as the user declares them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, Unpack

from pydantic import ValidationError
from typing_extensions import TypedDict

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.arguments import (
    check_agent,
    check_settings,
    check_sink,
    check_stage_arguments,
    check_topic,
)
from streamapp.pipeline.stage import KeyBacklog, LostPosition, Ordering, Stage, StageConfig
from streamapp.policies.policy import Policy
from streamapp.topics.topic import Topic

InT = TypeVar("InT")
OutT = TypeVar("OutT")
NextT = TypeVar("NextT")


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
    """A typed sequence of stages between a source topic and a sink.

    Immutable: every method returns a new pipeline, so several pipelines can share a beginning.

    ```python
    pipeline = (
        Pipeline("playback-quality", source=Topic("playback.raw", RawPlayback))
        .stage(validate, on_error=dead_letter())
        .stage(enrich, on_error=retry(3), concurrency=64)
        .sink("playback.enriched")
    )
    ```

    Attributes:
        name: name of the pipeline; its consumer groups and topics begin with it.
        source: topic that the first stage reads.
        declarations: the stages with their topics.
    """

    def __init__(self: "Pipeline[NextT, NextT]", name: str, *, source: Topic[NextT]) -> None:
        check_topic(f"pipeline {name!r}", "source", source)
        self.name = name
        self.source: Topic[Any] = source
        self.declarations: tuple[StageDeclaration, ...] = ()

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
            renamed_from: former name of the stage; it resumes at the offsets of that name.
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
        stage = _make_stage(self.name, stage_id, agent, config, on_error, settings)
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
                f" {last.output.name!r} already; give one output or one .sink()"
            )
        output = Topic(topic, last.stage.agent.output_type) if isinstance(topic, str) else topic
        ended = replace(last, output=output)
        return self._with((*self.declarations[:-1], ended))

    def _with(self, declarations: tuple[StageDeclaration, ...]) -> "Pipeline[Any, Any]":
        copy: Pipeline[Any, Any] = Pipeline(self.name, source=self.source)
        copy.declarations = declarations
        return copy

    def __repr__(self) -> str:
        names = " -> ".join(stage.stage_id for stage in self.stages)
        return f"<Pipeline {self.name}: {self.source.name} -> {names}>"


def _make_stage(
    pipeline: str,
    stage_id: str,
    agent: Agent[Any, Any],
    config: StageConfig | None,
    on_error: Policy | None,
    settings: StageSettings,
) -> Stage:
    try:
        merged = StageConfig.model_validate({**dict(config or StageConfig()), **settings})
        if on_error is not None:
            merged = merged.with_policy(on_error)
        return Stage(
            stage_id=stage_id,
            stage_name=stage_id,
            agent=agent,
            description=agent.description,
            config=merged,
        )
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise PipelineError(f"pipeline {pipeline!r}, stage {stage_id!r}: {faults}") from error
