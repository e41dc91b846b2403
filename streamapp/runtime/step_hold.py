"""What a segment knows of one of its steps: breaker, dead-letter budget, and the last success."""

import math
from collections.abc import Collection, Hashable

from streamapp.errors import AllMembersOpenError
from streamapp.pipeline.stage import AfterHold, StageConfig
from streamapp.policies.breaker import Breaker, Permit
from streamapp.policies.budget import BeyondBudget, BudgetMeter
from streamapp.policies.fault import Fault, whose_fault
from streamapp.runtime.config import Environment
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Work

SHORTEST_HOLD_SECONDS = 1.0
"""A budget that is used up is not asked again sooner; each time, a record is tried."""


class StepHold:
    """Says of one step when its records are held.

    Args:
        step: the step.
        config: its settings.
        environment: the clock, and random numbers for the waits between probes.

    Attributes:
        step: the step.
        breaker: its breaker; `None` if it is turned off.
        held_until: until when its dead-letter budget allows no more, in monotonic seconds.
        beyond_budget: by how much it was last beyond it, for operators.
        slow_seconds: an attempt that takes so long is slow, although it succeeds.
        stops_after_hold: whether the stage stops when records were held for too long.
        is_given_up: whether they were held for longer, and nothing has succeeded since.
    """

    def __init__(self, step: StepRunner, config: StageConfig, environment: Environment) -> None:
        self.step = step
        self.breaker = Breaker(config.breaker, environment.rng) if config.breaker else None
        self.held_until: float | None = None
        self.beyond_budget = ""
        self.stops_after_hold = config.after_hold is AfterHold.STOP
        self.is_given_up = False
        budget = config.dead_letter_budget
        slow_seconds = config.breaker.slow_seconds if config.breaker else None
        self.slow_seconds = math.inf if slow_seconds is None else slow_seconds
        self._budget = BudgetMeter(budget) if budget else None
        self._waits_for_others = environment.config.waits_for_others
        self._max_hold_seconds = config.max_hold_seconds
        self._clock = environment.clock
        self._rng = environment.rng
        self._succeeded_at = -math.inf  # monotonic seconds

    @property
    def is_open(self) -> bool:
        """Whether nothing is let through but probes."""
        if self.held_until is not None:
            return True
        return self.breaker is not None and not self.breaker.closed and not self.is_given_up

    def was_held_too_long(self, now: float) -> bool:
        """Whether its records have been held for `max_hold_seconds`."""
        most, breaker = self._max_hold_seconds, self.breaker
        if most is None or breaker is None or breaker.opened_at is None:
            return False
        return now - breaker.opened_at >= most

    def tell_success(
        self, permit: Permit | None, count: int, keys: Collection[Hashable], *, slow: int = 0
    ) -> None:
        """Note that attempts in a row succeeded, `permit` being that of a probe."""
        now = self._clock.monotonic()
        self._succeeded_at = now
        if self._budget is not None:
            self._budget.finished(count, now)
        if self.breaker is None:
            return
        if self.is_given_up:  # no probe was needed to find out
            self.is_given_up = False
            self.breaker.close()
        if permit is None and self.breaker.closed:
            permit = self.breaker.try_acquire(now)
        if permit is not None:
            permit.succeeded_many(count, now, slow=slow, keys=keys)

    def holds_after(self, permit: Permit | None, work: Work, error: Exception) -> bool:
        """Note a failed attempt; whether its record is held, and this was no attempt of its own.

        The breaker is told of first attempts and of probes. Were it told of retries, a few records
        that always fail would open it again and again, and keep all others waiting. A pool without
        a member to call says so whatever the record, so it is told at once.
        """
        breaker = self.breaker
        if breaker is None or not self.step.policy.holds_after(error):
            if permit is not None:
                permit.released()  # the error has a policy of its own, and tells nothing
            return False
        now = self._clock.monotonic()
        is_first = not (work.is_failing or work.was_held)
        # What comes back from a retry topic has failed before: that it fails again for an unknown
        # reason tells nothing. But nobody else may tell of an outage that began meanwhile.
        tells = is_first and (not work.failures or whose_fault(error) is Fault.WORLD)
        tells = tells or isinstance(error, AllMembersOpenError)
        if permit is None and tells and breaker.closed:
            permit = breaker.try_acquire(now)
        if permit is not None:
            permit.failed(error, now, key_of(work))
        return breaker.holds(error) and not self.is_given_up

    def wait_for_others(self, work: Work, error: Exception) -> float | None:
        """How long a record waits that would be a dead letter through the world's fault.

        While no other record has succeeded since its first failure, nothing says that the record
        is at fault. But bounded work has to end, and there may be no other record.

        Returns:
            The wait in seconds; `None` if it is to be a dead letter.
        """
        if (
            self.breaker is None
            or self.is_given_up
            or not self._waits_for_others
            or work.partition.until is not None
            or whose_fault(error) is not Fault.WORLD
            or not self.step.policy.dead_letters_after(error)
            or self._succeeded_at >= work.failing_since
        ):
            return None
        return self.breaker.config.waits.late_delay_seconds(work.failures, self._rng.random())

    def allows_dead_letter(self) -> bool:
        """Whether its budget allows one more; if so, it is counted."""
        if self._budget is None:
            return True
        now = self._clock.monotonic()
        if self._budget.allows(now):
            self._budget.dead_letter(now)
            return True
        changes_at = self._budget.ask_again_at(now)
        if changes_at is None:  # time alone changes nothing
            changes_at = now + self._budget.budget.window_seconds
        self.held_until = max(changes_at, now + SHORTEST_HOLD_SECONDS)
        self.beyond_budget = (
            f"more dead letters than its budget allows, {self._budget.refusal(now)}"
        )
        return False

    @property
    def stops_beyond_budget(self) -> bool:
        """Whether the stage stops when its budget is used up, instead of holding its records."""
        return self._budget is not None and self._budget.budget.then is BeyondBudget.STOP


def key_of(work: Work) -> Hashable:
    """What tells records apart for the rule of distinct keys."""
    record = work.record
    return record.key if record.key is not None else (work.partition.name, record.offset)
