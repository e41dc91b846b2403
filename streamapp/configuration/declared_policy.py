"""Error policies in the file, in the words of `StageConfig`."""

import builtins
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from streamapp import errors
from streamapp.configuration.section import Section
from streamapp.errors import PipelineError
from streamapp.policies.backoff import Backoff
from streamapp.policies.fault import RECORDS_FAULT, WORLDS_FAULT
from streamapp.policies.policy import ErrorPolicy, Policy
from streamapp.registry.assemble import RETRIES
from streamapp.registry.nearest import did_you_mean

_OF_PYTHON = (
    "ArithmeticError",
    "AttributeError",
    "ConnectionError",
    "Exception",
    "IndexError",
    "KeyError",
    "LookupError",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "PermissionError",
    "RuntimeError",
    "TimeoutError",
    "TypeError",
    "UnicodeError",
    "ValueError",
    "ZeroDivisionError",
)
_OURS = (
    "AllMembersOpenError",
    "DecodeError",
    "EncodeError",
    "Permanent",
    "RecordError",
    "RecordTooLargeError",
    "ServiceError",
    "TooManyOutputsError",
    "Transient",
)

EXCEPTIONS: Mapping[str, type[BaseException]] = {
    **{name: vars(builtins)[name] for name in _OF_PYTHON},
    **{name: vars(errors)[name] for name in _OURS},
    "ValidationError": ValidationError,
}
"""The exceptions that a file may name: a closed list, since a name never imports anything."""

FAULTS: Mapping[str, tuple[type[BaseException], ...]] = {
    "record": RECORDS_FAULT,
    "world": WORLDS_FAULT,
}
"""Exceptions by whose fault they are, of the record or of what the agent depends on."""


def _known(name: str) -> str:
    if name not in EXCEPTIONS and name not in FAULTS:
        near = did_you_mean(name, [*EXCEPTIONS, *FAULTS])
        raise ValueError(f"there is no exception {name!r} to choose from; {near}")
    return name


ExceptionName = Annotated[str, AfterValidator(_known)]
"""An exception of the closed list, or whose fault it is."""


class DeclaredPolicy(Section):
    """What happens to a record that failed.

    Attributes:
        error_policy: what happens to it.
        retry_count: number of retries, if that is `retry`.
        then: what happens when the retries are used up.
        backoff: waits between attempts.
        delays_seconds: how long it waits in retry topics before `then`, one after the other.
    """

    error_policy: ErrorPolicy = ErrorPolicy.RETRY
    retry_count: int = Field(default=RETRIES, ge=0)
    then: ErrorPolicy = ErrorPolicy.DEAD_LETTER
    backoff: Backoff = Backoff()
    delays_seconds: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _is_a_policy(self) -> Self:
        try:
            self.as_policy()
        except PipelineError as error:
            raise ValueError(str(error)) from error
        return self

    def as_policy(self) -> Policy:
        """The policy without those for single exceptions.

        Raises:
            PipelineError, ValueError: the fields do not belong together.
        """
        retries = self.retry_count if self.error_policy is ErrorPolicy.RETRY else 0
        return Policy(
            self.error_policy, retries, self.backoff, self.then, delays_seconds=self.delays_seconds
        )


def by_exception(
    declared: Mapping[str, DeclaredPolicy],
) -> tuple[tuple[type[BaseException], Policy], ...]:
    """The policies for single exceptions; one that is named goes before whose fault it is."""
    found = {
        kind: policy.as_policy()
        for name, policy in sorted(declared.items(), key=lambda one: one[0] not in FAULTS)
        for kind in _kinds(name)
    }
    return Policy(ErrorPolicy.RETRY).on(found).by_exception


def _kinds(name: str) -> Iterator[type[BaseException]]:
    yield from FAULTS.get(name) or (EXCEPTIONS[name],)
