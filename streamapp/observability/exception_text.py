"""What is written of an exception: its stack and its class, never what it may quote of a record."""

import os
import traceback
from collections.abc import Iterator

from streamapp.errors import RecordError, StageStoppedError, StreamappError
from streamapp.structs import validation_error

_CLIENT = "aiokafka."
"""Errors of the Kafka client name topics, nodes and codes."""


def describe_exception(error: BaseException) -> str:
    """Stack and sentence of an exception and of its causes, the first cause first.

    Only errors of ours and of the Kafka client have a sentence, and errors of the system that of
    their number: whatever else is raised may quote a record or a secret, so its class must do. For
    errors of pydantic, place and kind are given.
    """
    parts = []
    for link in reversed(list(_chain(error))):
        stack = "".join(traceback.format_tb(link.__traceback__))
        sentence = sentence_of(link)
        parts.append(f"{stack}{type(link).__qualname__}{f': {sentence}' if sentence else ''}")
    return "\n".join(parts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def sentence_of(error: BaseException) -> str:
    """What may be told of an error beside its class; empty if its message may quote a record."""
    cause = error.__cause__
    if isinstance(error, RecordError) and cause is not None and validation_error(cause) is not None:
        error = cause  # whose message may be that of the user's own check
    if isinstance(error, StageStoppedError):
        return error.for_logs
    if (invalid := validation_error(error)) is not None:
        faults = invalid.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(f"{'.'.join(map(str, f['loc'])) or 'value'}: {f['type']}" for f in faults)
    if isinstance(error, StreamappError) or type(error).__module__.startswith(_CLIENT):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return ""
