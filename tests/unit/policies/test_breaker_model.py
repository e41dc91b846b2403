"""A breaker against a model: any order of permits, outcomes, losses and waits."""

import random
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from streamapp.errors import Permanent, Transient
from streamapp.observability.stage_metrics import BreakerState
from streamapp.policies.breaker import Breaker, Permit
from streamapp.policies.breaker_config import BreakerConfig

CLOSE_AFTER = 2
FAILURES = 3
CONFIG = BreakerConfig(
    consecutive_failures=FAILURES,
    minimum_calls=1_000,
    successes_to_close=CLOSE_AFTER,
    first_probe_seconds=1.0,
    longest_probe_seconds=4.0,
)


class BreakerModel(RuleBasedStateMachine):
    """Tracks state, probe and counts of its own from the rules alone; only the waits are read."""

    permits: Bundle[Permit] = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(CONFIG, random.Random(1))
        self.state = BreakerState.CLOSED
        self.failures = self.successes = self.waits = 0
        self.shared: Permit | None = self.breaker.try_acquire(0.0)
        self.probe: Permit | None = None

    @rule(seconds=st.sampled_from((0.0, 0.3, 1.0, 5.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def acquire(self) -> Permit:
        due = self.breaker.next_probe_at
        permit = self.breaker.try_acquire(self.now)
        if self.state is BreakerState.CLOSED:
            assert permit is not None
            assert not permit.is_probe
            self.shared = permit
            return permit
        assert due is not None
        if self.probe is not None or self.now < due:
            assert permit is None
            return multiple()  # type: ignore[return-value]  # hypothesis's word for nothing
        assert permit is not None
        assert permit.is_probe
        self.state = BreakerState.HALF_OPEN
        self.probe = permit
        return permit

    @rule(permit=permits, count=st.integers(1, 3))
    def succeed(self, permit: Permit, count: int) -> None:
        permit.succeeded_many(count, self.now)
        if permit is self.shared:
            self.failures = 0
        elif permit is self.probe:
            self.probe = None
            self.successes += 1
            if self.successes == CLOSE_AFTER:
                self.state = BreakerState.CLOSED
                self.successes = self.waits = self.failures = 0

    @rule(permit=permits, make=st.sampled_from((TimeoutError, OSError, Transient)))
    def fail(self, permit: Permit, make: Callable[[], Exception]) -> None:
        permit.failed(make(), self.now, b"k")
        if permit is self.shared:
            self.failures += 1
        if permit is self.probe or self.failures == FAILURES:
            self.state = BreakerState.OPEN
            self.shared = self.probe = None
            self.failures = self.successes = 0
            self.waits += 1
            due, longest = self.breaker.next_probe_at, min(4.0, 2.0 ** (self.waits - 1))
            assert due is not None
            assert longest / 2 <= due - self.now <= longest

    @rule(permit=permits, error=st.sampled_from((Permanent(), KeyError())))
    def fail_otherwise(self, permit: Permit, error: Exception) -> None:
        permit.failed(error, self.now, b"k")
        if permit is self.probe:
            self.probe = None

    @rule(permit=permits)
    def cancel(self, permit: Permit) -> None:
        with permit:
            pass
        if permit is self.probe:
            self.probe = None

    @invariant()
    def agrees(self) -> None:
        assert self.breaker.state is self.state
        assert self.breaker.closed is (self.state is BreakerState.CLOSED)
        assert (self.breaker.cause is None) is self.breaker.closed
        assert (self.breaker.opened_at is None) is self.breaker.closed

    @invariant()
    def no_probe_is_lost(self) -> None:
        """Unless a probe runs, the next may begin once its time has come."""
        due = self.breaker.next_probe_at
        later = self.now if due is None else max(self.now, due)
        assert self.breaker.may_call(later) is (self.probe is None)

    def teardown(self) -> None:
        """Once the probe has ended, calls that succeed close it: it never stays half-open."""
        if self.probe is not None:
            self.probe.released()
        for _ in range(CLOSE_AFTER):
            due = self.breaker.next_probe_at
            permit = self.breaker.try_acquire(self.now if due is None else max(self.now, due))
            assert permit is not None
            permit.succeeded(self.now)
        assert self.breaker.closed


TestBreakerModel = BreakerModel.TestCase
