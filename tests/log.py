"""The log of the process, which a command that a test runs in it sets up anew."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from streamapp.observability.repeats import RepeatFilter


@contextmanager
def unchanged_log() -> Iterator[None]:
    """Take back what `configure_logging` does: its handler would tell its repeats to later tests.

    The handlers of pytest stay, which come and go with each phase of a test.
    """
    root = logging.getLogger()
    level = root.level
    try:
        yield
    finally:
        for handler in list(root.handlers):
            if any(isinstance(one, RepeatFilter) for one in handler.filters):
                root.removeHandler(handler)
        root.setLevel(level)
