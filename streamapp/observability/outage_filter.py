"""Leaves out of the log what is only said because the broker cannot be reached."""

import asyncio
import logging

from streamapp.errors import BrokerError
from streamapp.observability.repeats import is_of

_OF_A_CONNECTION = frozenset({
    "KafkaConnectionError",
    "NodeNotReadyError",
    "RequestTimedOutError",
    "CoordinatorNotAvailableError",
    "GroupCoordinatorNotAvailableError",
    "StaleMetadata",
    "CorrelationIdError",
})  # fmt: skip
"""Errors of the client that a lost connection causes; by name, since this room knows no client."""

_CLIENT = "aiokafka"
"""Below this logger, only the client logs; below others of the field, such as `kafka`, users do."""

_TEMPLATES = (
    "Unable connect to",
    "Unable to request metadata",
    "Unable to update metadata",
    "Marking the coordinator dead",
    "Heartbeat session expired",
)


class OutageFilter(logging.Filter):
    """Knows from the lines of `brokers/kafka/reach.py` whether an outage is on.

    Until it ends, no line of the client is written, and none of ours below ERROR that is about an
    error of the broker. What the client says of a lost connection is never written: it comes before
    the outage is known, and one sentence of ours tells it. Lines of all others, such as agents, are
    left alone, whatever they are about.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_on = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if is_of(record, _CLIENT):
            return not self._is_on and not _is_of_a_connection(record)
        if not is_of(record, "streamapp"):
            return True
        change = getattr(record, "outage", None)
        if change is not None:
            self._is_on = change == "begins"
            return True
        is_hidden = self._is_on and record.levelno < logging.ERROR
        return not (is_hidden and _has(record, BrokerError, TimeoutError))


def _is_of_a_connection(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith(_TEMPLATES) or _has(record, OSError, asyncio.CancelledError):
        return True
    return any(type(one).__name__ in _OF_A_CONNECTION for one in _arguments(record))


def _has(record: logging.LogRecord, *kinds: type[BaseException]) -> bool:
    return any(isinstance(one, kinds) for one in _arguments(record))


def _arguments(record: logging.LogRecord) -> tuple[object, ...]:
    return record.args if isinstance(record.args, tuple) else ()
