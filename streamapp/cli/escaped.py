"""Logs what Python itself would print: errors that end a thread or stand in a finaliser."""

import logging
import sys
import threading

log = logging.getLogger("streamapp")


def log_what_escapes() -> None:
    """From now on, log warnings, and errors that nobody can catch.

    Python prints them with their message, which may quote a record, and as several lines, which are
    no JSON.
    """
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable


def _log_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "unknown"
    log.error("thread %s ended with %s", name, ended.exc_type.__name__, exc_info=ended.exc_value)


def _log_unraisable(failed: "sys.UnraisableHookArgs") -> None:
    what = f"{failed.exc_type.__name__} was raised where nothing can catch it"
    log.error("%s", what, exc_info=failed.exc_value)
