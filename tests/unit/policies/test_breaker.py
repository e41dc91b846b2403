"""A breaker: what opens it, how it probes, what closes it."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from streamapp.errors import AllMembersOpenError, Permanent, Transient
from streamapp.observability.stage_metrics import BreakerState
from streamapp.policies.breaker import Breaker, Permit
from streamapp.policies.breaker_cause import Cause, Rule
from streamapp.policies.breaker_config import BreakerConfig

CONFIG = BreakerConfig(consecutive_failures=1_000)
"""In which shares alone open the breaker."""


class Drawn(random.Random):
    """Always draws the same number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self._number = number

    def random(self) -> float:
        return self._number


class BusyError(Transient):
    retry_after = 40.0


def breaker(config: BreakerConfig = CONFIG, *, drawn: float = 1.0) -> Breaker:
    return Breaker(config, Drawn(drawn))


def permit(one: Breaker, now: float = 0.0) -> Permit:
    given = one.try_acquire(now)
    assert given is not None
    return given


def opened(config: BreakerConfig = CONFIG, error: Exception | None = None) -> Breaker:
    """A breaker that opened at 0, and may be probed at 1."""
    one = breaker(replace(config, consecutive_failures=1))
    permit(one).failed(error or TimeoutError(), 0.0, b"k")
    assert one.state is BreakerState.OPEN
    return one


def fail(one: Breaker, error: Exception, times: int, *, keys: int = 1) -> None:
    for number in range(times):
        if one.closed:
            permit(one).failed(error, 0.0, number % keys)


def rule(one: Breaker) -> Rule | None:
    return one.cause.rule if one.cause else None


def test_a_new_breaker_is_closed_and_one_permit_serves_all_calls() -> None:
    one = breaker()
    assert (one.closed, one.state, one.cause) == (True, BreakerState.CLOSED, None)
    assert (one.opened_at, one.next_probe_at, one.times_opened, one.probes) == (None, None, 0, 0)
    assert permit(one) is permit(one, 5.0)
    assert not permit(one).is_probe
    assert one.may_call(0.0)


def test_failures_in_a_row_through_the_worlds_fault_open_it() -> None:
    one = breaker(BreakerConfig())
    fail(one, OSError("down"), 3)
    permit(one).succeeded(0.0)
    fail(one, OSError("down"), 3)
    assert one.closed
    permit(one).failed(TimeoutError("late"), 7.0, b"k")
    assert rule(one) is Rule.CONSECUTIVE_FAILURES
    assert str(one.cause) == "consecutive_failures (TimeoutError)"
    assert (one.closed, one.opened_at, one.times_opened) == (False, 7.0, 1)


def test_other_failures_between_do_not_break_the_row_and_are_not_in_it() -> None:
    one = breaker(BreakerConfig())
    for error in (OSError(), OSError(), KeyError(), Permanent(), OSError()):
        fail(one, error, 1)
    assert one.closed
    fail(one, OSError(), 1)
    assert rule(one) is Rule.CONSECUTIVE_FAILURES


def test_the_share_of_failures_opens_it_with_enough_calls() -> None:
    one = breaker()
    permit(one).succeeded_many(10, 0.0)
    fail(one, Transient("busy"), 9)
    assert one.closed
    fail(one, Transient("busy"), 1)
    assert rule(one) is Rule.ERROR_RATE
    few = breaker()
    fail(few, Transient("busy"), 19)
    assert few.closed


def test_failures_of_a_window_ago_do_not_count() -> None:
    one = breaker()
    fail(one, Transient("busy"), 19)
    permit(one).failed(Transient("busy"), 31.0, b"k")
    assert one.closed
    assert one.counts(31.0) == {"success": 0, "slow": 0, "world": 1, "unknown": 0, "record": 0}


def test_under_a_high_rate_the_latest_calls_count_not_those_of_the_whole_window() -> None:
    one = breaker()
    for _ in range(1_000):
        permit(one).succeeded_many(100, 0.0)
    fail(one, Transient("busy"), 600)
    assert rule(one) is Rule.ERROR_RATE


def test_unknown_failures_are_calls_of_which_the_world_is_not_to_blame() -> None:
    one = breaker()
    fail(one, KeyError(), 11)
    fail(one, OSError(), 10)
    assert one.closed
    fail(one, OSError(), 1)
    assert rule(one) is Rule.ERROR_RATE


def test_the_records_own_faults_never_open_it_unless_a_rate_is_asked_for() -> None:
    one = breaker()
    fail(one, Permanent("bad"), 10_000, keys=10_000)
    assert one.closed
    fail(one, OSError(), 19)
    assert one.closed  # and they are no calls that a share is taken of
    asked = breaker(replace(CONFIG, validation_rate=0.8))
    permit(asked).succeeded_many(4, 0.0)
    fail(asked, Permanent("bad"), 15)
    assert asked.closed
    fail(asked, Permanent("bad"), 1)
    assert rule(asked) is Rule.VALIDATION_RATE


def test_the_records_own_faults_are_no_calls_that_a_share_is_taken_of() -> None:
    one = breaker()
    fail(one, Permanent("bad"), 30)
    permit(one).succeeded_many(10, 0.0)
    fail(one, OSError(), 10)
    assert rule(one) is Rule.ERROR_RATE


def test_successes_are_not_slow_unless_it_is_said() -> None:
    one = breaker(replace(CONFIG, slow_seconds=0.5, slow_rate=0.01))
    for _ in range(30):
        permit(one).succeeded(0.0)
        permit(one).succeeded_many(1, 0.0)
    assert one.closed


def test_slow_successes_open_it_if_asked_for() -> None:
    one = breaker(replace(CONFIG, slow_seconds=2.0, slow_rate=0.5))
    for seconds in (1.9, 2.0) * 9:
        permit(one).succeeded(0.0, seconds)
    permit(one).succeeded(0.0, 1.9)
    assert one.closed
    assert one.counts(0.0)["slow"] == 9
    permit(one).succeeded_many(1, 0.0, slow=1)
    assert str(one.cause) == "slow_rate"
    indifferent = breaker()
    permit(indifferent).succeeded_many(100, 0.0, slow=100)
    assert indifferent.closed


def test_unknown_errors_of_more_than_half_of_twenty_keys_open_it() -> None:
    one = breaker()
    permit(one).succeeded_many(10, 0.0, keys=range(100, 110))
    fail(one, KeyError(), 10, keys=10)
    assert one.closed  # exactly half
    permit(one).failed(ValueError(), 0.0, "another")
    assert str(one.cause) == "distinct_keys (ValueError)"


def test_unknown_errors_of_few_keys_do_not_open_it_however_many() -> None:
    one = breaker()
    fail(one, KeyError(), 10_000, keys=19)
    assert one.closed


def test_a_key_that_succeeds_after_it_failed_does_not_fail_any_more() -> None:
    one = breaker()
    fail(one, KeyError(), 19, keys=19)
    assert one.wants_keys
    for key in range(10):
        permit(one).succeeded(0.0, key=key)
    permit(one).succeeded_many(2, 0.0, keys=(10, 11))
    permit(one).failed(KeyError(), 0.0, "twentieth")
    assert one.closed  # 8 of 20
    for key in (0, 1):
        permit(one).failed(KeyError(), 0.0, key)
    assert one.closed  # 10 of 20
    permit(one).failed(KeyError(), 0.0, 2)
    assert rule(one) is Rule.DISTINCT_KEYS


def test_keys_of_successes_are_wanted_only_while_some_key_fails() -> None:
    one, wanted = breaker(), list[bool]()
    permit(one).succeeded_many(30, 0.0)
    wanted.append(one.wants_keys)
    permit(one).failed(OSError(), 0.0, b"k")
    wanted.append(one.wants_keys)
    permit(one).failed(KeyError(), 0.0, b"k")
    wanted.append(one.wants_keys)
    permit(one).succeeded(0.0, key=b"k")
    wanted.append(one.wants_keys)
    assert wanted == [False, False, True, False]


def test_a_third_of_all_keys_that_fails_by_chance_does_not_open_it() -> None:
    """Once enough keys were seen; of the first twenty, more than half may fail by chance."""
    dice, one = random.Random(5), breaker()
    permit(one).succeeded_many(200, 0.0)
    for number in range(20_000):
        now = number / 100
        if dice.random() < 1 / 3:
            permit(one, now).failed(KeyError(), now, number)
        else:
            permit(one, now).succeeded(now, key=number)
    assert one.closed


def test_two_thirds_that_fail_open_it_soon_whatever_succeeded_before() -> None:
    dice, one = random.Random(5), breaker()
    permit(one).succeeded_many(1_000_000, 0.0)
    number = 0
    while one.closed:
        number += 1
        if dice.random() < 2 / 3:
            permit(one).failed(KeyError(), 0.0, number)
        else:
            permit(one).succeeded(0.0, key=number)
    assert 100 < number < 256
    assert rule(one) is Rule.DISTINCT_KEYS


def opened_by_keys() -> Breaker:
    """A breaker that opened at 0, after 11 of the keys 0 to 19 had failed."""
    one = breaker()
    permit(one).succeeded_many(9, 0.0, keys=range(11, 20))
    fail(one, KeyError(), 11, keys=11)
    assert rule(one) is Rule.DISTINCT_KEYS
    return one


def probe_until_closed(one: Breaker, keys: Iterable[object], now: float = 100.0) -> int:
    """How many probes on these keys succeed until it is closed."""
    for count, key in enumerate(keys, 1):
        permit(one, now).succeeded(now, key=key)
        if one.closed:
            return count
    return -1


def test_keys_that_never_failed_do_not_close_what_most_keys_opened() -> None:
    """While records that failed are held, later ones of their keys cannot be tried."""
    one, now = opened_by_keys(), 0.0
    for key in range(100, 150):
        now = one.next_probe_at or now
        permit(one, now).failed(KeyError(), now, key)
    assert probe_until_closed(one, range(11, 51), now + 100) == -1  # 40 of 101
    assert one.wants_failed_key
    now += 200
    permit(one, now).failed(KeyError(), now, 100)
    assert not one.wants_failed_key


def test_one_key_that_failed_and_succeeds_closes_it() -> None:
    one, now = opened_by_keys(), 0.0
    for key in range(100, 300):
        now = one.next_probe_at or now
        permit(one, now).failed(KeyError(), now, key)
    assert probe_until_closed(one, [11, 12, 13], now + 100) == -1
    assert one.wants_failed_key
    assert probe_until_closed(one, [250], now + 100) == 1
    assert not one.wants_failed_key


def test_what_chance_opened_closes_once_as_many_keys_succeed_as_fail() -> None:
    one = opened_by_keys()
    assert probe_until_closed(one, [11, 11, 11, 11, 12, "new", "newer"]) == 7


def test_probes_of_keys_that_are_not_told_close_it_as_any_success() -> None:
    assert probe_until_closed(opened_by_keys(), [None] * 5) == 3


def test_waits_between_probes_grow_to_the_longest() -> None:
    one, now = opened(), 0.0
    waits = []
    for _ in range(6):
        assert one.next_probe_at is not None
        waits.append(one.next_probe_at - now)
        assert not one.may_call(one.next_probe_at - 0.01)
        assert one.try_acquire(one.next_probe_at - 0.01) is None
        now = one.next_probe_at
        permit(one, now).failed(OSError(), now, b"k")
    assert waits == pytest.approx([1.0, 2.0, 4.0, 8.0, 15.0, 15.0])
    assert (one.opened_at, one.times_opened, one.probes) == (0.0, 1, 6)
    assert str(one.cause) == "consecutive_failures (OSError)"


def test_waits_are_drawn_from_the_upper_half_of_their_range() -> None:
    one = breaker(BreakerConfig(consecutive_failures=1), drawn=0.0)
    permit(one).failed(OSError(), 0.0, b"k")
    assert one.next_probe_at == 0.5


def test_an_error_may_ask_for_a_longer_wait_which_is_spread_as_well() -> None:
    assert opened(error=BusyError()).next_probe_at == pytest.approx(44.0)
    one = breaker(BreakerConfig(consecutive_failures=1), drawn=0.0)
    permit(one).failed(BusyError(), 0.0, b"k")
    assert one.next_probe_at == 40.0
    now = 40.0
    permit(one, now).failed(BusyError(), now, b"k")
    assert one.next_probe_at == 80.0


def test_one_probe_at_a_time_and_three_that_succeed_close_it() -> None:
    one = opened()
    for _ in range(3):
        assert one.state is not BreakerState.CLOSED
        probe = permit(one, 1.0)
        assert probe.is_probe
        assert one.state is BreakerState.HALF_OPEN
        assert not one.may_call(1.0)
        assert one.try_acquire(100.0) is None
        probe.succeeded(1.0)
    assert (one.closed, one.state, one.cause) == (True, BreakerState.CLOSED, None)
    assert (one.opened_at, one.next_probe_at) == (None, None)
    assert (one.times_opened, one.probes) == (1, 3)


def test_a_probe_that_fails_begins_the_count_of_successes_anew() -> None:
    one = opened()
    for _ in range(2):
        permit(one, 1.0).succeeded(1.0)
    permit(one, 1.0).failed(OSError(), 1.0, b"k")
    for _ in range(2):
        permit(one, 3.0).succeeded(3.0)
    assert not one.closed


def close(one: Breaker, now: float) -> None:
    for _ in range(3):
        permit(one, now).succeeded(now)
    assert one.closed


def test_calls_and_keys_of_before_count_for_nothing_once_it_is_closed_again() -> None:
    one = breaker()
    fail(one, OSError(), 20)
    close(one, 1.0)
    assert sum(one.counts(1.0).values()) == 0
    permit(one).failed(OSError(), 1.0, b"k")
    assert one.closed
    one = breaker()
    fail(one, KeyError(), 20, keys=20)
    close(one, 1.0)
    assert not one.wants_keys
    permit(one).failed(KeyError(), 1.0, b"k")
    assert one.closed


def test_what_was_counted_before_does_not_open_it_again() -> None:
    one = breaker(BreakerConfig(consecutive_failures=2))
    fail(one, OSError(), 2)
    for _ in range(3):
        permit(one, 1.0).succeeded(1.0)
    permit(one, 1.0).failed(OSError(), 1.0, b"k")
    assert one.closed
    permit(one, 1.0).failed(OSError(), 1.0, b"k")
    assert one.next_probe_at == 2.0  # waits begin anew as well
    assert one.times_opened == 2


def test_a_probe_without_an_outcome_gives_its_place_back() -> None:
    one = opened()
    with pytest.raises(KeyboardInterrupt), permit(one, 1.0) as lost:
        raise KeyboardInterrupt(lost.is_probe)
    probe = permit(one, 1.0)
    probe.released()
    probe.released()
    assert one.may_call(1.0)
    late = permit(one, 1.0)
    probe.released()
    assert not one.may_call(1.0)
    late.succeeded(1.0)
    late.released()
    assert one.may_call(1.0)


def test_outcomes_of_earlier_generations_and_second_outcomes_count_for_nothing() -> None:
    one = breaker(BreakerConfig(consecutive_failures=1))
    old = permit(one)
    old.failed(OSError(), 0.0, b"k")
    old.failed(OSError(), 9.0, b"k")
    old.succeeded_many(1_000, 9.0)
    assert (one.next_probe_at, one.counts(9.0)["success"]) == (1.0, 0)
    probe = permit(one, 1.0)
    old.succeeded(1.0)
    old.released()
    assert not one.may_call(1.0)
    for _ in range(5):
        probe.succeeded(1.0)
    probe.failed(OSError(), 1.0, b"k")
    assert one.state is BreakerState.HALF_OPEN
    for _ in range(2):
        permit(one, 1.0).succeeded(1.0)
    assert one.closed
    old.failed(OSError(), 1.0, b"k")
    probe.failed(OSError(), 1.0, b"k")
    assert one.closed
    assert permit(one).generation > probe.generation > old.generation


def test_a_probe_that_fails_through_the_records_fault_or_an_unknown_one_says_nothing() -> None:
    one = opened()
    for error in (Permanent("bad"), KeyError()):
        permit(one, 1.0).failed(error, 1.0, b"k")
        assert one.state is BreakerState.HALF_OPEN
        assert one.may_call(1.0)


def test_probes_that_fail_with_unknown_errors_for_many_keys_open_it_again() -> None:
    one = opened()
    for number in range(20):
        assert one.state is not BreakerState.OPEN or number == 0
        permit(one, 1.0).failed(KeyError(), 1.0, number)
    assert one.state is BreakerState.OPEN
    assert rule(one) is Rule.DISTINCT_KEYS


@pytest.mark.parametrize("error", [KeyError("k"), OSError()], ids=repr)
def test_what_opened_for_unknown_errors_opens_again_at_another(error: Exception) -> None:
    one = breaker()
    fail(one, KeyError(), 20, keys=20)
    permit(one, 1.0).failed(error, 1.0, b"k")
    assert one.state is BreakerState.OPEN
    assert str(one.cause) == f"distinct_keys ({type(error).__name__})"


def test_what_opened_for_slow_calls_opens_again_at_a_slow_probe() -> None:
    slow = replace(CONFIG, slow_seconds=2.0, slow_rate=0.5)
    one = breaker(slow)
    permit(one).succeeded_many(20, 0.0, slow=20)
    permit(one, 1.0).failed(OSError(), 1.0, b"k")
    permit(one, 3.0).succeeded(3.0, 2.5)
    assert one.state is BreakerState.OPEN
    assert one.next_probe_at == 7.0
    other = opened(slow)
    permit(other, 1.0).succeeded(1.0, 2.5)
    assert other.state is BreakerState.HALF_OPEN


def test_it_says_which_failures_are_held() -> None:
    unknown, world, records = KeyError(), OSError(), Permanent()
    one = breaker()
    assert [one.holds(error) for error in (unknown, world, records)] == [False, False, False]
    one = opened()
    assert [one.holds(error) for error in (unknown, world, records)] == [False, True, False]
    permit(one, 1.0)
    assert one.holds(world)
    one = breaker()
    fail(one, KeyError(), 20, keys=20)
    assert [one.holds(error) for error in (unknown, world, records)] == [True, True, False]
    one = breaker(replace(CONFIG, validation_rate=0.5))
    fail(one, Permanent(), 20)
    assert [one.holds(error) for error in (unknown, world, records)] == [False, True, True]
    permit(one, 1.0).failed(Permanent(), 1.0, b"k")
    assert one.state is BreakerState.OPEN
    assert one.next_probe_at == 3.0


def test_no_successes_are_no_outcome() -> None:
    one = breaker(BreakerConfig(consecutive_failures=2))
    fail(one, OSError(), 1)
    permit(one).succeeded_many(0, 0.0)
    fail(one, OSError(), 1)
    assert not one.closed


def test_a_pool_without_a_member_to_call_opens_it_at_once_and_for_as_long_as_it_says() -> None:
    breaker = Breaker(BreakerConfig(), random.Random(1))
    permit = breaker.try_acquire(0.0)
    assert permit is not None
    permit.failed(AllMembersOpenError("down", retry_after=7.0), 0.0, b"k")
    assert str(breaker.cause) == "all_members_open (AllMembersOpenError)"
    assert breaker.next_probe_at is not None
    assert 7.0 <= breaker.next_probe_at <= 7.7
    assert breaker.holds(OSError())


def test_it_says_whether_a_probe_is_under_way() -> None:
    breaker = Breaker(BreakerConfig(consecutive_failures=1), random.Random(1))
    shared = breaker.try_acquire(0.0)
    assert shared is not None
    shared.failed(OSError(), 0.0, b"k")
    found = [breaker.is_probing]
    probe = breaker.try_acquire(1.0)
    assert probe is not None
    found.append(breaker.is_probing)
    probe.released()
    assert [*found, breaker.is_probing] == [False, True, False]


@pytest.mark.parametrize("rule", Rule)
def test_every_cause_can_be_told_in_words(rule: Rule) -> None:
    told = Cause(rule, "OSError").in_words
    assert " " in told
    assert "{" not in told


def test_failures_in_a_row_by_chance_do_not_open_it_and_an_outage_soon_does() -> None:
    one, rng = breaker(BreakerConfig()), random.Random(7)
    longest = in_row = 0
    for call in range(100_000):
        if rng.random() < 1 / 7:
            in_row += 1
            longest = max(longest, in_row)
            permit(one, call / 10_000).failed(OSError(), call / 10_000, b"%d" % call)
        else:
            in_row = 0
            permit(one, call / 10_000).succeeded(call / 10_000)
    assert one.state is BreakerState.CLOSED
    assert longest > BreakerConfig().consecutive_failures
    for failure in range(12):
        permit(one, 10.0).failed(OSError(), 10.0, b"%d" % failure)
        if one.next_probe_at is not None:
            break
    assert one.next_probe_at is not None
