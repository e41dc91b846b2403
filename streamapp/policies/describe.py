"""One line on an error, without the payload."""

from pydantic import ValidationError

from streamapp.structs import validation_error

MAX_MESSAGE_BYTES = 1024
"""Longest error message in the headers of a dead letter."""

_MAX_FAULTS = 5


def describe(error: BaseException) -> str:
    """One line on an error, at most 1 KiB of UTF-8.

    For a validation error it names the invalid fields, without the input that pydantic would quote.
    """
    invalid = validation_error(error)
    if invalid is not None:
        text = _faults(invalid)
    else:
        text = _first_line(_message(error)) or type(error).__name__
    return text.encode(errors="replace")[:MAX_MESSAGE_BYTES].decode(errors="ignore")


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's own `__str__`, which must not end the worker
        return ""


def _first_line(text: str) -> str:
    """The first line that is not blank."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [
        f"{'.'.join(map(str, fault['loc'])) or 'value'}: {fault['msg']}"
        for fault in faults[:_MAX_FAULTS]
    ]
    more = len(faults) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
