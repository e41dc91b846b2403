"""Logs what Python itself would print: warnings, and errors that nobody catches."""

import logging
import sys
import threading
from typing import NoReturn

log = logging.getLogger("streamapp")


def log_what_escapes() -> None:
    """From now on, log warnings, and errors that nobody can catch.

    Python prints them with their message, which may quote a record, and as several lines, which are
    no JSON.
    """
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable


def exit_without_text(ended: BaseException) -> NoReturn:
    """Exit because of an error that is no `Exception`, such as `SystemExit` or one of the user's.

    What Python prints then, the text of a `SystemExit` or a traceback, is left out.

    Raises:
        SystemExit: always.
    """
    if isinstance(ended, SystemExit) and (ended.code is None or isinstance(ended.code, int)):
        raise ended
    log.critical("the process is ended by %s", type(ended).__name__, exc_info=ended)
    sys.exit(1)  # as Python does


def _log_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "unknown"
    log.error("thread %s ended with %s", name, ended.exc_type.__name__, exc_info=ended.exc_value)


def _log_unraisable(failed: "sys.UnraisableHookArgs") -> None:
    what = f"{failed.exc_type.__name__} was raised where nothing can catch it"
    log.error("%s", what, exc_info=failed.exc_value)
