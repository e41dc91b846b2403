"""Writes the lines of the log, and says of a line that cannot be written where it was logged."""

import logging
import sys
from contextlib import suppress
from typing import TextIO


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream, always in the format of the log.

    Of a line whose text cannot be made, such as `log.info("%d", "x")`, the standard library prints
    a traceback and the arguments: several lines, which are no JSON and may quote a record. This
    writes one line that says which logger logged it, and where.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; not so if a filter cannot make its text."""
        try:
            return bool(super().filter(record))
        except Exception:  # noqa: BLE001 - it must not reach who logs the line
            self.handleError(record)
            return False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - inherited name
        """Write a line about a line that cannot be written."""
        about = _about(record, sys.exc_info()[1])
        with suppress(Exception):  # the stream takes nothing, so there is no place to tell it
            if super().filter(about):
                self.stream.write(self.format(about) + self.terminator)
                self.flush()


def _about(record: logging.LogRecord, error: BaseException | None) -> logging.LogRecord:
    return logging.LogRecord(
        record.name,
        record.levelno,
        record.pathname,
        record.lineno,
        "a log line of logger %s at %s:%d could not be written: %s; check its arguments",
        (record.name, record.pathname, record.lineno, type(error).__name__),
        None,
    )
