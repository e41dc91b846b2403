"""A progress bar on a terminal, and nothing elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

OnDone = Callable[[int], None]


@contextmanager
def progress_bar(doing: str, total: int) -> Iterator[OnDone]:
    """Show how far something is, on standard error.

    Args:
        doing: what is done.
        total: of how many.

    Yields:
        What is told how many more are done.
    """
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda count: progress.advance(task, count)
