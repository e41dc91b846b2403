"""A stage of a declared pipeline, in the words of `Pipeline.stage` and `StageConfig`."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, JsonValue, model_validator

from streamapp.configuration.composition import Composition, check_size
from streamapp.configuration.declared_policy import DeclaredPolicy, ExceptionName, by_exception
from streamapp.configuration.section import Section, TopicName
from streamapp.pipeline.batching import DEFAULT_LINGER_SECONDS, LONGEST_LINGER_SECONDS
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.stage import AfterHold, KeyBacklog, LostPosition, Ordering, StageConfig
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import DeadLetterBudget

_DEFAULT = StageConfig()
_OF_THE_POLICY = frozenset({*DeclaredPolicy.model_fields, "by_exception"})
CONFIG_FIELDS = tuple(name for name in StageConfig.model_fields if name not in _OF_THE_POLICY)
"""Fields of `StageConfig` that are the same in the file."""


class DeclaredBatching(Section):
    """How records are put together for a batch agent.

    Attributes:
        size: most items of a batch.
        linger_seconds: longest time that the first item of a batch waits for others.
    """

    size: int = Field(ge=1)
    linger_seconds: float = Field(default=DEFAULT_LINGER_SECONDS, ge=0, le=LONGEST_LINGER_SECONDS)


class DeclaredStage(DeclaredPolicy):
    """A stage of a declared pipeline.

    Attributes:
        agent: id of the agent, or a composition; none: the best one for the capability that fits
            beside the others.
        capability: what it is wanted for; none: the only capability of the agent.
        pool: how many agents of the capability share the work.
        name: name of the stage; none: that of the capability, or of the composition.
        configuration: values of the agent's configuration, above those of its definition.
        batching: how records are put together, if the agent works on batches.
        fused: whether it runs in the process of the stage before it, with no topic between the two.
        output: topic of its outputs; none: `<pipeline>.<stage>`.
        routes: topics by the name that an agent uses for a route.
        dead_letters: dead-letter topic; none: `<pipeline>.<stage>.dlq`.
        renamed_from: former name of the stage; it resumes at the offsets of that name.
        by_exception: other policies by the name of an exception, or by whose fault it is: `record`
            or `world`.
        timeout_seconds: deadline of one attempt.
        concurrency: largest number of attempts that run at once.
        ordering: which records of a partition are worked on one at a time.
        max_outputs_per_record: an attempt with more outputs fails, as the record's fault.
        max_in_flight_records: largest number of records taken from the broker and not finished.
        max_in_flight_bytes: largest sum of the bytes of their values and outputs.
        max_key_backlog_records: largest number of records that wait behind a failing one.
        on_key_backlog: what gives way when this number is reached.
        on_lost_position: what the stage does when retention has deleted its next records.
        breaker: when records are held because what the agent depends on is down; null: never.
        max_hold_seconds: longest time for which they are held; null: no limit.
        after_hold: what happens then.
        dead_letter_budget: how many dead letters are too many; null: any number is allowed.
    """

    agent: Composition | None = None
    capability: Capability | None = None
    pool: int | None = Field(default=None, ge=2)
    name: str | None = Field(default=None, min_length=1)
    configuration: Mapping[str, JsonValue] = Field(default_factory=dict)
    batching: DeclaredBatching | None = None
    fused: bool = False
    output: TopicName | None = None
    routes: Mapping[str, TopicName] = Field(default_factory=dict)
    dead_letters: TopicName | None = None
    renamed_from: str | None = Field(default=None, min_length=1)
    by_exception: Mapping[ExceptionName, DeclaredPolicy] = Field(default_factory=dict)
    timeout_seconds: float = Field(default=_DEFAULT.timeout_seconds, gt=0)
    concurrency: int = Field(default=_DEFAULT.concurrency, ge=1)
    ordering: Ordering = _DEFAULT.ordering
    max_outputs_per_record: int = Field(default=_DEFAULT.max_outputs_per_record, ge=1)
    max_in_flight_records: int = Field(default=_DEFAULT.max_in_flight_records, ge=1)
    max_in_flight_bytes: int = Field(default=_DEFAULT.max_in_flight_bytes, ge=1)
    max_key_backlog_records: int = Field(default=_DEFAULT.max_key_backlog_records, ge=1)
    on_key_backlog: KeyBacklog = _DEFAULT.on_key_backlog
    on_lost_position: LostPosition = _DEFAULT.on_lost_position
    breaker: BreakerConfig | None = _DEFAULT.breaker
    max_hold_seconds: float | None = Field(default=None, gt=0)
    after_hold: AfterHold = _DEFAULT.after_hold
    dead_letter_budget: DeadLetterBudget | None = _DEFAULT.dead_letter_budget

    @model_validator(mode="after")
    def _says_which_agent(self) -> Self:
        if self.agent is None and self.capability is None:
            raise ValueError("give an agent or a capability")
        if self.agent is not None:
            check_size(self.agent)
        if not isinstance(self.agent, str) and self.configuration:
            raise ValueError(
                "give the id of the agent that the configuration is for, or the configuration"
                " inside of the composition"
            )
        if self.agent is not None and self.pool is not None:
            raise ValueError(
                "give a list of agents as the pool, or a capability instead of an agent"
            )
        return self

    @property
    def shown(self) -> str:
        """Its agent for a table: an id, the name of a combinator, or the capability."""
        if self.agent is None or isinstance(self.agent, str):
            return str(self.agent or self.capability)
        return self.agent.shown

    def config(self) -> StageConfig:
        """The settings of the stage."""
        said = self.model_fields_set
        fields: dict[str, Any] = {
            name: getattr(self, name) for name in CONFIG_FIELDS if name in said
        }
        made = StageConfig.model_validate(fields)
        policy = self.as_policy()
        return made.with_policy(policy).model_copy(
            update={
                "retry_count": self.retry_count,
                "by_exception": by_exception(self.by_exception),
            }
        )
