"""Logs of the command line: plain or JSON lines on stderr, never with a payload.

Three sources of payloads are suppressed. The Kafka client logs keys and values at DEBUG, so it is
kept at INFO. Messages of errors may quote a record, so they are left out (`exception_text`). And
asyncio quotes the error of a task that nobody awaits, so only the first line of its entries is
kept.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, TextIO

import orjson

from streamapp.errors import ConfigurationError
from streamapp.observability.exception_text import describe_exception
from streamapp.observability.log_handler import LogHandler
from streamapp.observability.outage_filter import OutageFilter
from streamapp.observability.repeats import RepeatFilter, is_of

CLIENT_LOGGERS = ("aiokafka", "kafka", "aiohttp", "asyncio", "faust", "mode", "opentelemetry")
"""Loggers of libraries: WARNING and above, or INFO and above if our own level is DEBUG."""

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
    handler = LogHandler(stream or sys.stderr)
    handler.addFilter(_is_safe)
    if ours > logging.DEBUG:
        handler.addFilter(OutageFilter())
    handler.addFilter(RepeatFilter(CLIENT_LOGGERS))
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else PlainFormatter())
    logging.basicConfig(level=ours, handlers=[handler], force=True)
    clients = logging.INFO if ours <= logging.DEBUG else max(ours, logging.WARNING)
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).setLevel(clients)


def log_line(text: str, level: int = logging.INFO, **fields: object) -> str:
    """A line that a command prints, in the format of the log.

    Args:
        text: the line.
        level: how serious it is, for a JSON line.
        fields: more members of a JSON line.

    Returns:
        The text itself, or one JSON object where the log has JSON lines.
    """
    formatter = _json_formatter()
    if formatter is None:
        return text
    values = {"name": "streamapp", "levelno": level, "levelname": logging.getLevelName(level)}
    return formatter.format(logging.makeLogRecord({**fields, **values, "msg": text}))


def current_format() -> LogFormat:
    """How the log is written now, and so everything else that a command prints."""
    return LogFormat.JSON if _json_formatter() else LogFormat.PLAIN


def _json_formatter() -> logging.Formatter | None:
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    return next((one for one in formatters if isinstance(one, JsonFormatter)), None)


def _is_safe(record: logging.LogRecord) -> bool:
    """Whether a line may be written, whoever has set the level of its logger.

    Of what asyncio says, the first line is kept: the next ones quote errors and values.
    """
    if record.name == "asyncio":
        record.msg, record.args = record.getMessage().partition("\n")[0], None
    return record.levelno >= logging.INFO or not is_of(record, *CLIENT_LOGGERS)


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

    def format(self, record: logging.LogRecord) -> str:
        """The log line.

        The base class keeps the text of an exception in the record, for the next handler. Neither
        is another handler to get ours, without messages, nor are we to print that of another.
        """
        kept, record.exc_text = record.exc_text, None
        try:
            return super().format(record)
        finally:
            record.exc_text = kept

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
        return _dumps(line)


def _dumps(line: dict[str, Any]) -> str:
    """A line as JSON; what orjson refuses, large integers and file names that are no UTF-8, too."""
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        text = json.dumps(line, default=str, ensure_ascii=False, allow_nan=False)
        return text.encode(errors="replace").decode()


def _utc(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _extras(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    return (item for item in vars(record).items() if item[0] not in _STANDARD_ATTRIBUTES)
