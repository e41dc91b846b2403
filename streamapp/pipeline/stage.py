"""A stage: an agent with its settings."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from streamapp.pipeline.agent import Agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import DeadLetterBudget
from streamapp.policies.policy import ErrorPolicy, Policy

Name = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Ordering(StrEnum):
    """Which records of a partition are worked on one at a time."""

    PARTITION = "partition"  # all records of a partition
    KEY = "key"  # records with the same key; null keys are unordered
    UNORDERED = "unordered"  # none


class LostPosition(StrEnum):
    """What a stage does when its position is not in the log.

    Mostly retention has deleted the records there. The position can also be beyond the end, when a
    topic was made anew or its log was truncated: then `earliest` ends the stage, as `stop` does,
    because what the log holds may be new or may be finished.
    """

    STOP = "stop"  # end; an operator decides
    EARLIEST = "earliest"  # continue at the oldest record; the deleted offsets are counted
    LATEST = "latest"  # continue at the end; the skipped offsets are counted


class KeyBacklog(StrEnum):
    """What gives way when failing records, and those that wait behind them, are too many."""

    DEAD_LETTER = "dead_letter"  # one last attempt; if it fails, they are all dead letters
    STOP = "stop"  # one last attempt; if it fails, the stage stops
    WAIT = "wait"  # nothing; in the end, records of other keys wait as well


class AfterHold(StrEnum):
    """What happens to records that were held for `max_hold_seconds`."""

    DEAD_LETTER = "dead_letter"  # the policy decides about them, as if they had not been held
    STOP = "stop"  # the stage stops


MIN_OUTPUT_BYTES = 1024 * 1024
"""The outputs of one record may take so many bytes, even if less may be in flight."""


class StageConfig(BaseModel):
    """Settings of a stage.

    Attributes:
        retry_count: number of retries, if the policy is `retry`.
        timeout_seconds: deadline of one attempt; it cannot interrupt a plain function.
        error_policy: what happens to a record that failed.
        then: what happens to it when the retries are used up.
        backoff: waits between attempts.
        by_exception: other policies for single exception types.
        delays_seconds: how long it waits in retry topics before `then`, one after the other; for
            the policies `retry` and `retry_later`.
        concurrency: largest number of attempts that run at once.
        ordering: which records of a partition are worked on one at a time.
        max_outputs_per_record: an attempt with more outputs fails, as the record's fault.
        max_in_flight_records: largest number of records taken from the broker and not finished.
        max_in_flight_bytes: largest sum of the bytes of their values, and of outputs that are not
            acknowledged. An attempt with more bytes of outputs than this, and than 1 MiB, fails as
            the record's fault.
        max_key_backlog_records: with order by key, largest number of records that wait behind a
            failing one.
        on_key_backlog: what gives way when this number is reached, or when failing records of any
            number of keys keep others from being read.
        on_lost_position: what the stage does when retention has deleted its next records; when its
            position is beyond the end of the log, `earliest` means `stop`.
        breaker: when records are held because what the agent depends on is down; `None`: never. It
            has an effect where the policy would dead-letter them.
        max_hold_seconds: longest time for which they are held; `None` is no limit.
        after_hold: what happens then.
        dead_letter_budget: how many dead letters are too many, and what happens then; `None`: any
            number is allowed.

    Raises:
        pydantic.ValidationError: a value is out of its range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    retry_count: int = Field(default=3, ge=0)
    timeout_seconds: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    error_policy: ErrorPolicy = ErrorPolicy.RETRY
    then: ErrorPolicy = ErrorPolicy.DEAD_LETTER
    backoff: Backoff = Field(default_factory=Backoff)
    by_exception: tuple[tuple[type[BaseException], Policy], ...] = ()
    delays_seconds: tuple[float, ...] = ()
    concurrency: int = Field(default=32, ge=1)
    ordering: Ordering = Ordering.KEY
    max_outputs_per_record: int = Field(default=1000, ge=1)
    max_in_flight_records: int = Field(default=8192, ge=1)
    max_in_flight_bytes: int = Field(default=32 * 1024 * 1024, ge=1)
    max_key_backlog_records: int = Field(default=2048, ge=1)
    on_key_backlog: KeyBacklog = KeyBacklog.DEAD_LETTER
    on_lost_position: LostPosition = LostPosition.STOP
    breaker: BreakerConfig | None = BreakerConfig()
    max_hold_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    after_hold: AfterHold = AfterHold.DEAD_LETTER
    dead_letter_budget: DeadLetterBudget | None = DeadLetterBudget()

    @model_validator(mode="after")
    def _policy_is_one(self) -> Self:
        _ = self.policy  # raises for a wrong `then` now, and not at the first failure
        return self

    @property
    def policy(self) -> Policy:
        """The error policy as the runtime uses it."""
        retries = self.retry_count if self.error_policy is ErrorPolicy.RETRY else 0
        return Policy(
            self.error_policy,
            retries,
            self.backoff,
            self.then,
            self.by_exception,
            self.delays_seconds,
        )

    @property
    def max_output_bytes(self) -> int:
        """Largest sum of the bytes of the outputs of one record."""
        return max(self.max_in_flight_bytes, MIN_OUTPUT_BYTES)

    def with_policy(self, policy: Policy) -> "StageConfig":
        """A copy with this error policy."""
        retries = policy.retries if policy.action is ErrorPolicy.RETRY else self.retry_count
        return self.model_copy(
            update={
                "retry_count": retries,
                "error_policy": policy.action,
                "then": policy.then,
                "backoff": policy.backoff,
                "by_exception": policy.by_exception,
                "delays_seconds": policy.delays_seconds,
            }
        )


class Stage(BaseModel):
    """An agent with its name and settings.

    Attributes:
        stage_id: its name in topics, consumer groups and metrics.
        stage_name: its name on pages.
        agent: the agent that works on its records.
        description: one line on what it does.
        config: its settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage_id: Name
    stage_name: Name
    agent: Agent[Any, Any]
    description: str = ""
    config: StageConfig = StageConfig()
