"""Shows how much a command has read, where it is not known at first how much there is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def read_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, on standard error, and nothing elsewhere.

    Yields:
        What is told how many more records were read, and how many are to be read in all.
    """
    if not sys.stderr.isatty():
        yield lambda _count, _total: None
        return
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=None)

        def on_read(count: int, total: int) -> None:
            progress.update(task, advance=count, total=total)

        yield on_read
