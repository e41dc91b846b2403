"""How many events to generate, how fast, and when to stop."""

import math
from typing import Annotated

import typer

from streamapp.clock import Clock

SecondsOption = Annotated[
    float | None, typer.Option(min=0.001, help="Stop after this number of seconds.")
]
RateOption = Annotated[
    float | None, typer.Option(min=0.001, help="Records a second; by default as fast as possible.")
]
ForeverOption = Annotated[bool, typer.Option("--forever", help="Run until Ctrl-C or SIGTERM.")]
SeedOption = Annotated[
    int, typer.Option(help="Seed of the generator; the same seed gives the same records.")
]


class Pace:
    """Says how many events are due, until a number or a time is reached or `stop` is called.

    Args:
        clock: time.
        records: total number of events; `None` is unlimited.
        seconds: total time; `None` is unlimited.
        per_second: events a second; `None` is unlimited.

    Attributes:
        taken: number of events taken so far.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        records: int | None = None,
        seconds: float | None = None,
        per_second: float | None = None,
    ) -> None:
        self._clock = clock
        self._records = math.inf if records is None else records
        self._seconds = math.inf if seconds is None else seconds
        self._per_second = per_second
        self._began_at = clock.monotonic()
        self._stopped = False
        self.taken = 0

    @property
    def elapsed_seconds(self) -> float:
        """Time since the beginning."""
        return self._clock.monotonic() - self._began_at

    @property
    def over(self) -> bool:
        """Whether no further event will become due."""
        return self._stopped or self.taken >= self._records or self.elapsed_seconds >= self._seconds

    @property
    def half_over(self) -> bool:
        """Whether half of the events were taken, or half of the time is over."""
        return self.taken >= self._records / 2 or self.elapsed_seconds >= self._seconds / 2

    def stop(self) -> None:
        """Make no further event due."""
        self._stopped = True

    def take(self, most: int) -> int:
        """Take at most `most` of the events that are due now; returns how many."""
        if self.over:
            return 0
        due = self._records - self.taken
        if self._per_second is not None:
            due = min(due, int(self.elapsed_seconds * self._per_second) + 1 - self.taken)
        count = int(max(0, min(due, most)))
        self.taken += count
        return count


def checked_amount(
    *, records: int | None, seconds: float | None, forever: bool, default_records: int | None
) -> int | None:
    """The number of records that the options ask for; `None` is unlimited.

    Raises:
        typer.BadParameter: the options contradict each other, or one is missing.
    """
    if forever and (records is not None or seconds is not None):
        raise typer.BadParameter("--forever cannot be combined with --records or --seconds.")
    if forever or seconds is not None or records is not None:
        return records
    if default_records is None:
        raise typer.BadParameter("give --records, --seconds or --forever.")
    return default_records
