"""Error policies: what a stage does with a record that failed."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from streamapp.errors import PipelineError
from streamapp.policies.backoff import Backoff


class ErrorPolicy(StrEnum):
    """What happens to a record that failed."""

    STOP = "stop"  # stop the stage; after a restart it resumes at this record
    SKIP = "skip"  # pass the record on unchanged
    RETRY = "retry"  # try again with exponential backoff, then do what `then` says
    DEAD_LETTER = "dead_letter"  # send the record to the dead-letter topic
    DROP = "drop"  # drop the record and count it


@dataclass(frozen=True, slots=True)
class Policy:
    """An error policy with its settings; made by `stop`, `skip`, `retry`, `dead_letter`, `drop`.

    Attributes:
        action: what happens to the record.
        retries: number of retries; above zero only for `retry`.
        backoff: waits between attempts.
        then: what happens when the retries are used up; never `retry`.
        by_exception: other policies for these exception types, the most derived type first.
    """

    action: ErrorPolicy
    retries: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    then: ErrorPolicy = ErrorPolicy.DEAD_LETTER
    by_exception: tuple[tuple[type[BaseException], "Policy"], ...] = ()

    def __post_init__(self) -> None:
        if type(self.retries) is not int:
            raise PipelineError(
                f"retry({self.retries!r}) is not a number of retries; give a whole number, as in"
                " retry(3)"
            )
        for what, value in (("the policy's action", self.action), ("retry(then=…)", self.then)):
            if not isinstance(value, ErrorPolicy):
                raise PipelineError(f"{what} is {_described(value)}; {_INSTEAD}")
        if self.retries < 0:
            raise ValueError(f"retry count must not be negative, but is {self.retries}")
        if self.then is ErrorPolicy.RETRY:
            raise ValueError("retry(then=…) takes stop, skip, dead_letter or drop, not retry")

    def for_error(self, error: BaseException) -> "Policy":
        """The policy for this error."""
        for kind, policy in self.by_exception:
            if isinstance(error, kind):
                return policy
        return self

    def on(self, policies: "Mapping[type[BaseException], Policy]") -> "Policy":
        """Use other policies for these exception types; a derived type precedes its base.

        `retry(3).on({KeyError: drop()})`

        Raises:
            PipelineError: a key is not an exception type, or a value is not a policy.
        """
        given: list[tuple[object, object]] = list(policies.items())
        for kind, policy in given:
            if not (inspect.isclass(kind) and issubclass(kind, BaseException)):
                raise PipelineError(
                    f".on(…) has the key {kind!r}; give an exception type, as in"
                    " .on({KeyError: drop()})"
                )
            if not isinstance(policy, Policy):
                raise PipelineError(
                    f".on(…) gives {kind.__name__} {_described(policy)}; {_INSTEAD}"
                )
        ordered = sorted(policies.items(), key=lambda item: -len(item[0].__mro__))
        return Policy(self.action, self.retries, self.backoff, self.then, tuple(ordered))

    @property
    def last_action(self) -> ErrorPolicy:
        """What happens to a record that is not retried, or not any more; never `retry`."""
        return self.then if self.action is ErrorPolicy.RETRY else self.action

    def dead_letters_after(self, error: BaseException) -> bool:
        """Whether a record ends as a dead letter if this error, which has no policy, stays."""
        return self.last_action is ErrorPolicy.DEAD_LETTER and self.for_error(error) is self

    def uses(self, action: ErrorPolicy) -> bool:
        """Whether this action can be the final one for any error."""
        return self.last_action is action or any(
            policy.uses(action) for _, policy in self.by_exception
        )


def stop() -> Policy:
    """Stop the stage at the first failure; after a restart it resumes at that record."""
    return Policy(ErrorPolicy.STOP)


def skip() -> Policy:
    """Pass the record on unchanged; input and output schema must agree."""
    return Policy(ErrorPolicy.SKIP)


def drop() -> Policy:
    """Drop the record and count it."""
    return Policy(ErrorPolicy.DROP)


def dead_letter() -> Policy:
    """Send the record to the dead-letter topic at the first failure."""
    return Policy(ErrorPolicy.DEAD_LETTER)


def retry(
    count: int = 3, *, then: Policy | ErrorPolicy | None = None, backoff: Backoff | None = None
) -> Policy:
    """Retry up to `count` times, then do what `then` says, by default dead-letter.

    A failure that is the record's own fault (it does not decode or validate, or the agent raised
    `Permanent`) is not retried.

    Raises:
        ValueError: `count` is negative, or `then` is another retry.
        PipelineError: `count` is not a number, or `then` is not a policy.
    """
    action = then.action if isinstance(then, Policy) else then
    if isinstance(action, str) and action in list(ErrorPolicy):
        action = ErrorPolicy(action)
    return Policy(ErrorPolicy.RETRY, count, backoff or Backoff(), action or ErrorPolicy.DEAD_LETTER)


_INSTEAD = "give stop(), skip(), drop() or dead_letter()"


def _described(value: object) -> str:
    """A wrong argument as an error message names it; a function should have been called."""
    name = getattr(value, "__name__", None)
    return f"the function {name}; call it" if callable(value) and name else repr(value)
