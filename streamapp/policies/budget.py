"""How many dead letters are too many."""

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar

from pydantic import ConfigDict

from streamapp.policies.window import Window


class BeyondBudget(StrEnum):
    """What a stage does when a dead letter would be beyond its budget."""

    HOLD = "hold"  # hold the record until the budget allows it
    STOP = "stop"  # stop the stage; after a restart it resumes at this record


@dataclass(frozen=True, slots=True)
class DeadLetterBudget:
    """How many dead letters a stage may write: the last line when nothing else saw a fault.

    Attributes:
        share: largest share of the records that finish in the window; `None`: any.
        minimum_records: the share is not looked at below so many records in the window.
        window_seconds: length of the window. It empties while a stage is held, so a stage whose
            records are all at fault then writes about `minimum_records` dead letters a window.
        per_minute: most dead letters in any minute; `None`: any number, since what is many depends
            on the load.
        then: what happens beyond it.

    Raises:
        ValueError: a value is out of its range.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    share: float | None = 0.5
    minimum_records: int = 100
    window_seconds: float = 60.0
    per_minute: int | None = None
    then: BeyondBudget = BeyondBudget.HOLD

    def __post_init__(self) -> None:
        if self.share is not None and not 0 <= self.share <= 1:
            raise ValueError(f"budget: share must be from 0 to 1, not {self.share}")
        if type(self.minimum_records) is not int or self.minimum_records < 1:
            raise ValueError(
                "budget: minimum_records must be a whole number of at least 1, not"
                f" {self.minimum_records!r}"
            )
        if not 0 < self.window_seconds < math.inf:
            raise ValueError(
                f"budget: window_seconds must be above 0 and finite, not {self.window_seconds}"
            )
        if self.per_minute is not None and (
            type(self.per_minute) is not int or self.per_minute < 0
        ):
            raise ValueError(
                "budget: per_minute must be a whole number that is not negative, not"
                f" {self.per_minute!r}"
            )
        if not isinstance(self.then, BeyondBudget):
            raise ValueError(  # noqa: TRY004 - a wrong value of a setting, like the others
                f"budget: then must be BeyondBudget.HOLD or BeyondBudget.STOP, not {self.then!r}"
            )


class _Kind(IntEnum):
    DEAD_LETTER = 0
    OTHER = 1


class BudgetMeter:
    """What a stage has used of its budget. Times are seconds on a clock that never goes back."""

    __slots__ = ("_minute", "_window", "budget")

    def __init__(self, budget: DeadLetterBudget) -> None:
        self.budget = budget
        self._window = Window(len(_Kind), budget.window_seconds)
        self._minute = Window(1, 60.0)

    def finished(self, count: int, now: float) -> None:
        """Count records that finished without a dead letter."""
        self._window.add(_Kind.OTHER, now, count)

    def dead_letter(self, now: float) -> None:
        """Count a dead letter; a stage that `allows` did not stop writes one."""
        self._window.add(_Kind.DEAD_LETTER, now)
        self._minute.add(0, now)

    def allows(self, now: float) -> bool:
        """Whether one more dead letter would be within the budget."""
        return self._within_minute(now) and self._within_share(now)

    def refusal(self, now: float) -> str:
        """Why one more dead letter is beyond the budget, with the figures."""
        if not self._within_minute(now):
            letters = self._minute.totals(now)[0] + 1
            return (
                f"with the next one {letters:,} within a minute, above {self.budget.per_minute:,}"
            )
        letters, others = self._window.totals(now)
        return (
            f"with the next one {letters + 1:,} of {letters + 1 + others:,} records within"
            f" {self.budget.window_seconds:g} s, above {self.budget.share:.3g}"
        )

    def ask_again_at(self, now: float) -> float | None:
        """When the answer may change by time alone; `None` if it never does."""
        changes = []
        if not self._within_minute(now):
            changes.append(self._minute.oldest_leaves_at())
        if not self._within_share(now):
            changes.append(self._window.oldest_leaves_at())
        return max((at for at in changes if at is not None), default=None)

    def _within_minute(self, now: float) -> bool:
        most = self.budget.per_minute
        return most is None or self._minute.totals(now)[0] < most

    def _within_share(self, now: float) -> bool:
        share = self.budget.share
        if share is None:
            return True
        dead_letters, others = self._window.totals(now)
        records = dead_letters + others + 1
        return records < self.budget.minimum_records or dead_letters + 1 <= share * records
