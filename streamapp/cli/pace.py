"""How many events to make, how fast, and when that is enough."""

import math
from typing import Annotated

import typer

from streamapp.clock import Clock

SecondsOption = Annotated[
    float | None, typer.Option(min=0.001, help="Stop making records after so long.")
]
RateOption = Annotated[
    float | None, typer.Option(min=0.001, help="Records a second; as fast as it goes if left out.")
]
ForeverOption = Annotated[
    bool, typer.Option("--forever", help="Make records until Ctrl-C or SIGTERM.")
]
SeedOption = Annotated[
    int, typer.Option(help="What everything is drawn from: the same seed, the same records.")
]


class Pace:
    """Says how many events are due, until the number, the time or somebody ends it.

    Args:
        clock: time.
        records: how many altogether; `None` is without end.
        seconds: for how long; `None` is without end.
        per_second: how fast; `None` is as fast as they are taken.

    Attributes:
        taken: how many were due so far.
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
        """Whether nothing more is due, ever."""
        return self._stopped or self.taken >= self._records or self.elapsed_seconds >= self._seconds

    def stop(self) -> None:
        """Let nothing more be due."""
        self._stopped = True

    def take(self, most: int) -> int:
        """How many events to make now, at most `most`; zero is none yet."""
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
    """The number of records that the options ask for; `None` is without a number.

    Raises:
        typer.BadParameter: the options contradict each other, or one is missing.
    """
    if forever and (records is not None or seconds is not None):
        raise typer.BadParameter("--forever goes with neither --records nor --seconds.")
    if forever or seconds is not None or records is not None:
        return records
    if default_records is None:
        raise typer.BadParameter("say how much: --records, --seconds or --forever.")
    return default_records
