"""Whose fault a failure is: the record's, the world's, or not known."""

from enum import StrEnum

from pydantic import ValidationError

from streamapp.errors import Permanent, RecordError, Transient
from streamapp.structs import validation_error


class Fault(StrEnum):
    """Who is at fault when an attempt fails."""

    RECORD = "record"  # the record: a retry would fail in the same way
    WORLD = "world"  # what the agent depends on: a retry may succeed
    UNKNOWN = "unknown"  # the error does not say


RECORDS_FAULT = (RecordError, Permanent, ValidationError)
"""Failures that are the record's fault."""

WORLDS_FAULT = (TimeoutError, OSError, Transient)
"""Failures of what an agent depends on."""


def whose_fault(error: BaseException) -> Fault:
    """Whose fault an error is, by its class; of a group of errors, ask about the gravest."""
    if isinstance(error, RECORDS_FAULT) or validation_error(error) is not None:
        return Fault.RECORD
    return Fault.WORLD if isinstance(error, WORLDS_FAULT) else Fault.UNKNOWN
