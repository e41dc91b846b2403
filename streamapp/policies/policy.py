"""Error policies: what a stage does with a record that failed."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Never

from streamapp.errors import PipelineError
from streamapp.policies.backoff import Backoff
from streamapp.policies.delays import checked_delays


class ErrorPolicy(StrEnum):
    """What happens to a record that failed."""

    STOP = "stop"  # stop the stage; after a restart it resumes at this record
    SKIP = "skip"  # pass the record on unchanged
    RETRY = "retry"  # try again with exponential backoff, then do what `then` says
    RETRY_LATER = "retry_later"  # let the record wait in a retry topic, and others go on
    DEAD_LETTER = "dead_letter"  # send the record to the dead-letter topic
    DROP = "drop"  # drop the record and count it


@dataclass(frozen=True, slots=True)
class Policy:
    """An error policy with its settings.

    Made by `stop`, `skip`, `retry`, `retry_later`, `dead_letter` and `drop`.

    Attributes:
        action: what happens to the record.
        retries: number of retries; above zero only for `retry`.
        backoff: waits between attempts.
        then: what happens when retries and delays are used up; neither `retry` nor `retry_later`.
        by_exception: other policies for these exception types, the most derived type first.
        delays_seconds: how long the record waits in retry topics, one after the other, each time
            that its retries are used up; rising. Only for `retry` and `retry_later`.

    Raises:
        PipelineError, ValueError: the settings do not belong together.
    """

    action: ErrorPolicy
    retries: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    then: ErrorPolicy = ErrorPolicy.DEAD_LETTER
    by_exception: tuple[tuple[type[BaseException], "Policy"], ...] = ()
    delays_seconds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if type(self.retries) is not int:
            raise PipelineError(
                f"retry({self.retries!r}) is not a number of retries; give a whole number, as in"
                " retry(3)"
            )
        then = "retry_later" if self.action is ErrorPolicy.RETRY_LATER else "retry"
        for what, value in (("the policy's action", self.action), (f"{then}(then=…)", self.then)):
            if not isinstance(value, ErrorPolicy):
                raise PipelineError(f"{what} is {_described(value)}; {_INSTEAD}")
        backoff: object = self.backoff
        if not isinstance(backoff, Backoff):
            raise PipelineError(f"retry(): backoff is {backoff!r}; {_backoff_for(backoff)}")
        if self.retries < 0:
            raise ValueError(f"retry count must not be negative, but is {self.retries}")
        if self.then is ErrorPolicy.RETRY:
            raise ValueError("`then` of retry takes stop, skip, dead_letter or drop, not retry")
        if self.then is ErrorPolicy.RETRY_LATER or (
            self.action is ErrorPolicy.RETRY_LATER and not self.delays_seconds
        ):
            raise PipelineError("retry_later has no delays; give some, such as [10, 60, 600]")
        if self.delays_seconds:
            if not self.is_retry:
                raise PipelineError(
                    f"{self.action} has delays, but only retry_later and retry take some"
                )
            object.__setattr__(self, "delays_seconds", checked_delays(self.delays_seconds))

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
            PipelineError: it is no mapping, a key is not an exception type, or a value is not a
                policy or has exceptions of its own.
        """
        whole: object = policies
        if not isinstance(whole, Mapping):
            raise PipelineError(
                f".on() was given {_described(whole)}; give a mapping, as in"
                " .on({KeyError: drop()})"
            )
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
            _check_is_whole(f".on(…) gives {kind.__name__}", policy)
        ordered = sorted(policies.items(), key=lambda item: -len(item[0].__mro__))
        return replace(self, by_exception=tuple(ordered))

    @property
    def is_retry(self) -> bool:
        """Whether a record is tried again, at once or later."""
        return self.action in (ErrorPolicy.RETRY, ErrorPolicy.RETRY_LATER)

    @property
    def last_action(self) -> ErrorPolicy:
        """What happens to a record that is not retried, or not any more; no retry."""
        return self.then if self.is_retry else self.action

    @property
    def all_delays_seconds(self) -> tuple[float, ...]:
        """The delays of this policy and of those for exceptions, each once and rising."""
        own = set(self.delays_seconds)
        own.update(*(policy.delays_seconds for _, policy in self.by_exception))
        return tuple(sorted(own))

    def dead_letters_after(self, error: BaseException) -> bool:
        """Whether a record ends as a dead letter if this error, which has no policy, stays."""
        return self.last_action is ErrorPolicy.DEAD_LETTER and self.for_error(error) is self

    def holds_after(self, error: BaseException) -> bool:
        """Whether a record is held while the world is at fault for this error.

        So is one that would wait in a retry topic, whatever follows: an outage is not to fill that.
        """
        return bool(self.for_error(error).delays_seconds) or self.dead_letters_after(error)

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

    Args:
        count: number of retries.
        then: what happens when they are used up; `retry_later(…)` lets the record wait, and makes
            as many retries at once after each delay.
        backoff: waits between the attempts.

    Raises:
        ValueError: `count` is negative, or `then` is another retry.
        PipelineError: `count` is not a number, `then` is not a policy or has exceptions of its
            own, or `backoff` is not a `Backoff`.
    """
    _check_is_whole("retry(then=…) is", then)
    later = isinstance(then, Policy) and then.action is ErrorPolicy.RETRY_LATER
    delays = then.delays_seconds if isinstance(then, Policy) and later else ()
    action = _final_action(then.then if isinstance(then, Policy) and later else then)
    waits = Backoff() if backoff is None else backoff
    return Policy(ErrorPolicy.RETRY, count, waits, action, delays_seconds=delays)


def retry_later(
    delays: Sequence[float | timedelta],
    *further: Never,
    then: Policy | ErrorPolicy | None = None,
) -> Policy:
    """Let a failed record wait in a retry topic, while later ones go on; then try it again.

    `retry_later([10, 60, 600])` tries it again after 10 seconds, after another minute and after
    another ten minutes. If it fails then too, it ends as `then` says, by default as a dead letter.
    `retry(2, then=retry_later([10, 60]))` makes two retries at once, each time.

    The record gives up its place among the records of its key. A failure that is the record's own
    fault is not retried.

    Args:
        delays: seconds or timedeltas: rising, above zero, at most ten, none above seven days.
        further: nothing; delays that are given one by one are refused with what to write.
        then: what happens to a record that fails after the last delay.

    Raises:
        PipelineError: the delays are not as they have to be, or `then` is no policy that ends a
            record.
    """
    if further:
        one_by_one = ", ".join(map(repr, (delays, *further)))
        raise PipelineError(
            f"retry_later({one_by_one}): delays are a list; write retry_later([10, 60])"
        )
    checked = checked_delays(delays)
    _check_is_whole("retry_later(then=…) is", then)
    if isinstance(then, Policy) and then.is_retry:
        raise PipelineError(
            "retry_later(then=…) takes stop, skip, dead_letter or drop, not another retry; write"
            " retry(2, then=retry_later([10, 60])) for retries at once"
        )
    return Policy(ErrorPolicy.RETRY_LATER, then=_final_action(then), delays_seconds=checked)


def _final_action(then: Policy | ErrorPolicy | None) -> ErrorPolicy:
    """The action of what was given as `then`; what is no policy is refused by the new one."""
    action = then.action if isinstance(then, Policy) else then
    if isinstance(action, str) and action in list(ErrorPolicy):
        action = ErrorPolicy(action)
    return action or ErrorPolicy.DEAD_LETTER


def _check_is_whole(where: str, policy: object) -> None:
    """Refuse exceptions of a policy within another one, which nobody would look at."""
    if isinstance(policy, Policy) and policy.by_exception:
        raise PipelineError(
            f"{where} a policy with .on(…) of its own, which would have no effect; put all"
            " exceptions at the end, as in retry(3, then=skip()).on({KeyError: drop()})"
        )


def _backoff_for(value: object) -> str:
    """What to write in place of a wrong backoff: a number is meant as the first wait."""
    is_wait = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return f"give Backoff(base_seconds={value if is_wait else 0.1})"


_INSTEAD = "give stop(), skip(), drop() or dead_letter()"


def _described(value: object) -> str:
    """A wrong argument as an error message names it; a function should have been called."""
    name = getattr(value, "__name__", None)
    return f"the function {name}; call it" if callable(value) and name else repr(value)
