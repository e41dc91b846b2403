"""A stage: an agent with its settings."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from streamapp.pipeline.agent import Agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import ErrorPolicy, Policy

Name = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Ordering(StrEnum):
    """Which records of a partition wait for one another."""

    PARTITION = "partition"  # one at a time in a partition
    KEY = "key"  # one at a time for a key, keys side by side; null keys are unordered
    UNORDERED = "unordered"  # nothing waits


class LostPosition(StrEnum):
    """What happens when retention has deleted the records at a stage's position."""

    STOP = "stop"  # end, so that somebody decides
    EARLIEST = "earliest"  # go on at what is left; what was deleted is counted
    LATEST = "latest"  # go on at the end; what is passed over is counted


class KeyBacklog(StrEnum):
    """What happens when too many records wait behind one that keeps failing."""

    DEAD_LETTER = "dead_letter"  # it has one last attempt; then it and they are dead letters
    STOP = "stop"  # it has one last attempt; then the stage stops


class StageConfig(BaseModel):
    """Settings of a stage.

    Attributes:
        retry_count: further attempts after the first, where the policy is `retry`.
        timeout_seconds: deadline of one attempt; it cannot interrupt a plain function.
        error_policy: what becomes of a record that failed.
        then: what follows when the retries are used up.
        backoff: waits between attempts.
        by_exception: policies for exception types instead.
        concurrency: attempts that may wait side by side.
        ordering: which records wait for one another.
        max_outputs_per_record: more from one attempt is the record's fault.
        max_in_flight_records: records taken from the broker and not finished.
        max_in_flight_bytes: bytes of their values.
        max_key_backlog_records: with order by key, records that wait behind one that keeps failing;
            keep it below half of `max_in_flight_records`, or other keys wait as well.
        on_key_backlog: what happens when there are as many.
        on_lost_position: what happens when the position is no longer in the log.

    Raises:
        pydantic.ValidationError: a value is out of its range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    retry_count: int = Field(default=3, ge=0)
    timeout_seconds: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    error_policy: ErrorPolicy = ErrorPolicy.RETRY
    then: ErrorPolicy = ErrorPolicy.DEAD_LETTER
    backoff: Backoff = Field(default_factory=Backoff)
    by_exception: tuple[tuple[type[BaseException], Policy], ...] = ()
    concurrency: int = Field(default=32, ge=1)
    ordering: Ordering = Ordering.KEY
    max_outputs_per_record: int = Field(default=1000, ge=1)
    max_in_flight_records: int = Field(default=8192, ge=1)
    max_in_flight_bytes: int = Field(default=32 * 1024 * 1024, ge=1)
    max_key_backlog_records: int = Field(default=2048, ge=1)
    on_key_backlog: KeyBacklog = KeyBacklog.DEAD_LETTER
    on_lost_position: LostPosition = LostPosition.STOP

    @model_validator(mode="after")
    def _policy_is_one(self) -> Self:
        _ = self.policy  # a wrong `then` is refused here, and not at the first failure
        return self

    @property
    def policy(self) -> Policy:
        """The error policy as the runtime uses it."""
        retries = self.retry_count if self.error_policy is ErrorPolicy.RETRY else 0
        return Policy(self.error_policy, retries, self.backoff, self.then, self.by_exception)

    def with_policy(self, policy: Policy) -> "StageConfig":
        """Take this policy over."""
        retries = policy.retries if policy.action is ErrorPolicy.RETRY else self.retry_count
        return self.model_copy(
            update={
                "retry_count": retries,
                "error_policy": policy.action,
                "then": policy.then,
                "backoff": policy.backoff,
                "by_exception": policy.by_exception,
            }
        )


class Stage(BaseModel):
    """An agent with its name and settings.

    Attributes:
        stage_id: what it is called in topics, groups and metrics.
        stage_name: what it is called on a page.
        agent: what it does.
        description: one line on it.
        config: its settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    stage_id: Name
    stage_name: Name
    agent: Agent[Any, Any]
    description: str = ""
    config: StageConfig = StageConfig()
