"""Logs of the command line: plain or JSON lines on stderr, never with a payload.

Two sources of payloads are suppressed. The Kafka client logs keys and values at DEBUG, so it is
kept at INFO. Errors of pydantic quote the input, so only the place and kind of each fault are
written.
"""

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, TextIO

import orjson
from pydantic import ValidationError

from streamapp.errors import ConfigurationError

CLIENT_LOGGERS = ("aiokafka", "kafka", "aiohttp", "asyncio")
"""Loggers of libraries: WARNING and above, or INFO and above if our own level is DEBUG."""

_MAX_LINES_REMEMBERED = 1000
_MAX_CHARACTERS_REMEMBERED = 500  # of each: the lines of some libraries hold what they are about

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class LogFormat(StrEnum):
    """How a log line is written."""

    PLAIN = "plain"
    JSON = "json"


def configure_logging(
    level: str = "INFO", log_format: LogFormat = LogFormat.PLAIN, stream: TextIO | None = None
) -> None:
    """Send all logs to stderr; replaces any earlier configuration.

    Args:
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL, in any case.
        log_format: plain lines for people, JSON lines for machines.
        stream: stream to write to instead of stderr.

    Raises:
        ConfigurationError: there is no such level.
    """
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise ConfigurationError(
            f"log level {level!r} is unknown; use DEBUG, INFO, WARNING, ERROR or CRITICAL"
        )
    ours = levels[level.upper()]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(RepeatFilter())
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else PlainFormatter())
    logging.basicConfig(level=ours, handlers=[handler], force=True)
    clients = logging.INFO if ours <= logging.DEBUG else max(ours, logging.WARNING)
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).setLevel(clients)


class RepeatFilter(logging.Filter):
    """Suppresses repeated lines of libraries and adds how many were left out.

    In an outage the Kafka client logs every attempt to connect, hundreds of times a second. Lines
    are repetitions of one another if logger, level and template are equal.
    """

    def __init__(self, repeat_seconds: float = 10.0) -> None:
        super().__init__()
        self._repeat_seconds = repeat_seconds
        self._last: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if not record.name.startswith(CLIENT_LOGGERS):
            return True
        line = (record.name, record.levelno, str(record.msg)[:_MAX_CHARACTERS_REMEMBERED])
        written_at, left_out = self._last.get(line, (-self._repeat_seconds, 0))
        if record.created - written_at < self._repeat_seconds:
            self._last[line] = (written_at, left_out + 1)
            return False
        if len(self._last) > _MAX_LINES_REMEMBERED:
            self._last.clear()
        self._last[line] = (record.created, 0)
        if left_out:
            record.msg = f"{record.msg} (repeated {left_out} times since)"
        return True


class PlainFormatter(logging.Formatter):
    """Time in UTC, level, logger, text, then `key=value` for each item of `extra`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(  # noqa: N802 - inherited name
        self,
        record: logging.LogRecord,
        datefmt: str | None = None,  # noqa: ARG002 - inherited signature
    ) -> str:
        """Time of the record in UTC."""
        return _utc(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - inherited name
        """The log line without the exception."""
        extras = "".join(f" {key}={value}" for key, value in _extras(record))
        # One entry is one line: a line break in a value could fake another entry.
        return (super().formatMessage(record) + extras).replace("\r", "\\r").replace("\n", "\\n")

    def formatException(self, ei: Any) -> str:  # noqa: N802 - inherited name
        """The exception and its causes, without payloads."""
        return describe_exception(ei[1])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time in UTC, level, logger, text, extras and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The log line."""
        line: dict[str, Any] = {
            "time": _utc(record),
            "level": record.levelname,
            "logger": record.name,
            "text": record.getMessage(),
        }
        line |= {key: value for key, value in _extras(record) if key not in line}
        if record.exc_info and record.exc_info[1]:
            line["exception"] = describe_exception(record.exc_info[1])
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def describe_exception(error: BaseException) -> str:
    """Stack and sentence of an exception and of its causes, the first cause first.

    For errors of pydantic, only place and kind are given: their own text quotes the input.
    """
    parts = []
    for link in reversed(list(_chain(error))):
        stack = "".join(traceback.format_tb(link.__traceback__))
        parts.append(f"{stack}{type(link).__qualname__}: {_sentence(link)}")
    return "\n".join(parts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _sentence(error: BaseException) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, f['loc'])) or 'value'}: {f['type']}" for f in faults)


def _utc(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _extras(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    return (item for item in vars(record).items() if item[0] not in _STANDARD_ATTRIBUTES)
