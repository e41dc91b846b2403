"""Which member of a pool gets the next call."""

import math
import random
from collections.abc import Hashable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.errors import Permanent
from streamapp.policies.balance import Balance, Call, Reason, Unavailable
from streamapp.policies.breaker import Breaker
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.member import Member, MemberConfig

PATIENT = BreakerConfig(consecutive_failures=1_000, minimum_calls=1_000)


def member(name: str, capacity: int = 10, **settings: float) -> Member:
    config = MemberConfig(name, capacity, **settings)  # type: ignore[arg-type]  # by name
    return Member(config, Breaker(PATIENT, random.Random(1)))


def fragile(name: str, capacity: int = 10) -> Member:
    """Its breaker opens at the first failure, and is probed within a second."""
    config = BreakerConfig(consecutive_failures=1)
    return Member(MemberConfig(name, capacity), Breaker(config, random.Random(1)))


def call(pool: Balance, now: float = 0.0, *exclude: Member) -> Call:
    chosen = pool.choose(now, exclude)
    assert isinstance(chosen, Call), chosen
    return chosen


def chosen(pool: Balance, now: float = 0.0, *exclude: Member) -> str:
    return call(pool, now, *exclude).member.config.name


def none(pool: Balance, now: float = 0.0, *exclude: Member) -> tuple[Reason, float | None]:
    unavailable = pool.choose(now, exclude)
    assert isinstance(unavailable, Unavailable)
    return unavailable.reason, unavailable.until


def work(one: Member, seconds: float, now: float) -> None:
    """A call of this duration, which ends now."""
    call(Balance([one]), now - seconds).succeeded(now)


def break_down(one: Member, now: float = 0.0, error: Exception | None = None) -> None:
    call(Balance([one]), now).failed(error or OSError(), now, b"k")


def test_equal_members_take_turns() -> None:
    pool = Balance([member(name) for name in "abc"])
    assert "".join(chosen(pool) for _ in range(9)) == "abcabcabc"


def test_turns_go_on_when_calls_end_at_once() -> None:
    pool = Balance([member(name) for name in "abc"])
    names = ""
    for _ in range(6):
        with call(pool) as one:
            names += one.member.config.name
    assert names == "abcabc"


def test_members_share_calls_by_capacity_and_weight() -> None:
    pool = Balance([member("a", 2), member("b", 4), member("c", 2, weight=2.0)])
    names = [chosen(pool) for _ in range(5)]
    assert (names.count("a"), names.count("b"), names.count("c")) == (1, 2, 2)


def test_the_faster_member_gets_more_calls_in_proportion() -> None:
    fast, slow = member("fast"), member("slow")
    work(fast, 0.1, 1.0)
    work(slow, 0.3, 1.0)
    pool = Balance([slow, fast])
    names = [chosen(pool, 1.0) for _ in range(8)]
    assert names.count("fast") == 6


def test_a_longer_call_counts_at_once_and_shorter_ones_by_and_by() -> None:
    one = member("a")
    work(one, 0.1, 0.0)
    work(one, 0.5, 1.0)
    assert one.duration_seconds == 0.5
    work(one, 0.1, 1.0)
    assert one.duration_seconds == 0.5
    work(one, 0.1, 11.0)
    assert one.duration_seconds == pytest.approx(0.1 + 0.4 / math.e)


def test_only_successes_tell_how_long_a_call_takes() -> None:
    one = member("a")
    call(Balance([one]), 0.0).failed(OSError(), 9.0, b"k")
    call(Balance([one]), 0.0).released()
    assert (one.duration_seconds, one.active) == (None, 0)


def test_a_member_that_was_slow_once_is_tried_again_with_one_call_at_a_time() -> None:
    fast, slow = member("fast"), member("slow")
    work(slow, 1.0, 0.0)
    work(fast, 0.1, 0.0)
    pool = Balance([fast, slow])
    assert [chosen(pool, 0.0) for _ in range(9)] == ["fast"] * 9
    assert [chosen(pool, 12.0) for _ in range(1)] == ["slow"]
    # While it is tried, what was known of it counts in full.
    assert chosen(pool, 12.0) == "fast"


def test_an_idle_member_becomes_as_good_as_the_best_and_no_better() -> None:
    fast, slow = member("fast"), member("slow")
    work(slow, 1.0, 0.0)
    work(fast, 0.1, 1000.0)
    assert slow.score(1000.0, 0.1) == pytest.approx(fast.score(1000.0, 0.1))


def test_a_member_that_was_slow_long_ago_takes_its_turn_where_calls_take_no_time() -> None:
    once, other = member("once"), member("other")
    work(once, 3.0, 0.0)
    work(other, 0.0, 0.0)
    pool = Balance([once, other])
    turns = []
    for now in range(1, 61):
        began = call(pool, now)
        began.succeeded(now)
        turns.append(began.member)
    assert once not in turns[:40]
    assert once in turns[40:50]


def test_a_member_that_nothing_is_known_of_counts_as_the_fastest() -> None:
    known, new = member("known"), member("new")
    work(known, 0.2, 0.0)
    pool = Balance([known, new])
    assert "".join(chosen(pool)[0] for _ in range(4)) == "nknk"


def test_a_call_that_takes_no_time_does_not_draw_all_calls() -> None:
    a, b = member("a"), member("b")
    work(a, 0.0, 0.0)
    work(b, 0.0, 0.0)
    assert "".join(chosen(Balance([a, b])) for _ in range(4)) == "abab"


def test_a_member_that_fails_is_avoided_and_the_penalty_fades() -> None:
    good, bad = member("good"), member("bad")
    for one in (good, bad):
        work(one, 0.1, 0.0)
    break_down(bad, 0.0)
    pool = Balance([bad, good])
    names = [chosen(pool, 0.0) for _ in range(7)]
    assert names[:5] == ["good"] * 5  # a call of the other seems 6 times as long
    assert names[5:].count("bad") == 1
    names = [chosen(pool, 200.0) for _ in range(5)]
    assert names == ["bad"] * 5  # until it has as many calls as the other


def test_each_failure_adds_to_the_penalty_up_to_a_bound() -> None:
    one, scores = member("a"), []
    for _ in range(60):
        break_down(one)
        scores.append(one.score(0.0, 1.0))
    assert scores[:3] == pytest.approx([0.6, 0.85, 0.975])
    assert scores[-1] == pytest.approx(1.1)
    break_down(one, 10.0)
    assert one.score(10.0, 1.0) == pytest.approx(0.1 * (1 + 10 * (0.5 + 0.5 / math.e)))


def test_a_member_that_failed_long_ago_takes_its_turn_where_one_call_follows_another() -> None:
    once, other = member("once"), member("other")
    pool = Balance([once, other])
    work(other, 1.0, now=1.0)
    break_down(once, now=1.0)
    turns = []
    for now in range(2, 72):
        began = call(pool, now)
        began.succeeded(now + 1.0)
        turns.append(began.member)
    assert once not in turns[:40]
    assert turns[-20:].count(once) == 10


def test_the_records_own_fault_is_no_penalty() -> None:
    one = member("a")
    break_down(one, error=Permanent("bad"))
    assert one.score(0.0, 1.0) == 0.1
    break_down(one, error=KeyError())
    assert one.score(0.0, 1.0) > 0.1


def test_a_failing_call_moves_on_to_each_member_once() -> None:
    members = [member(name) for name in "abc"]
    pool, tried = Balance(members), list[Member]()
    for _ in members:
        one = call(pool, 0.0, *tried)
        one.failed(OSError(), 0.0, b"k")
        tried.append(one.member)
    assert sorted(one.config.name for one in tried) == ["a", "b", "c"]
    assert none(pool, 0.0, *tried) == (Reason.TRIED, None)


def test_full_members_are_waited_for() -> None:
    a, b = member("a", 1), member("b", 1)
    pool = Balance([a, b])
    first, _ = call(pool), call(pool)
    assert none(pool) == (Reason.FULL, None)
    assert none(pool, 0.0, a) == (Reason.FULL, None)
    first.succeeded(1.0)
    assert chosen(pool, 1.0) == "a"


def test_a_member_whose_breaker_is_open_gets_no_call_but_its_probes() -> None:
    good, bad = fragile("good"), fragile("bad")
    break_down(bad)
    pool = Balance([bad, good])
    assert {chosen(pool, 0.4) for _ in range(5)} == {"good"}
    probe = call(pool, 1.0)
    assert probe.member is bad
    for _ in range(4):
        assert chosen(pool, 1.0) == "good"
    probe.failed(OSError(), 1.0, b"k")
    assert not bad.breaker.may_call(1.5)


def test_a_pool_whose_breakers_are_all_open_says_when_the_next_probe_is() -> None:
    a, b = fragile("a"), fragile("b")
    break_down(a)
    break_down(b)
    break_down(b, 1.0)
    pool = Balance([a, b])
    assert b.breaker.next_probe_at is not None
    assert none(pool, 0.2) == (Reason.OPEN, a.breaker.next_probe_at)
    assert none(pool, 0.2, a, b)[0] is Reason.OPEN
    assert chosen(pool, 1.0) == "a"
    assert none(pool, 1.0) == (Reason.PROBING, b.breaker.next_probe_at)
    assert none(pool, 1.0, a) == (Reason.OPEN, b.breaker.next_probe_at)
    assert chosen(pool, 3.0) == "b"
    assert none(pool, 3.0) == (Reason.PROBING, None)
    assert none(pool, 3.0, a, b) == (Reason.OPEN, None)


def test_with_one_member_open_and_the_other_full_one_waits() -> None:
    a, b = fragile("a", 1), fragile("b", 1)
    break_down(a)
    pool = Balance([a, b])
    assert chosen(pool, 0.2) == "b"
    assert none(pool, 0.2) == (Reason.FULL, None)
    assert none(pool, 0.2, b) == (Reason.TRIED, None)


def test_calls_a_minute_are_limited_by_member() -> None:
    a, b = member("a", calls_per_minute=2), member("b", 1)
    pool = Balance([a, b])
    for _ in range(2):
        call(Balance([a]), 5.0).succeeded(5.0)
    assert none(Balance([a]), 6.0) == (Reason.LIMITED, 65.0)
    assert chosen(pool, 6.0) == "b"
    assert none(pool, 6.0) == (Reason.FULL, 65.0)
    assert none(pool, 6.0, b) == (Reason.LIMITED, 65.0)
    assert chosen(pool, 65.0) == "a"


def test_of_several_limits_the_first_that_allows_a_call_is_waited_for() -> None:
    a, b, c = member("a", calls_per_minute=1), member("b", calls_per_minute=1), member("c", 1)
    for one, now in ((a, 5.0), (b, 9.0)):
        call(Balance([one]), now).succeeded(now)
    assert none(Balance([b, a]), 10.0) == (Reason.LIMITED, 65.0)
    pool = Balance([b, a, c])
    assert chosen(pool, 10.0) == "c"
    assert none(pool, 10.0) == (Reason.FULL, 65.0)


def test_what_is_known_fades_from_when_it_was_learned() -> None:
    one = member("a")
    work(one, 1.0, 500.0)
    break_down(one, 500.0)
    break_down(one, 510.0)
    penalty = 0.5 + 0.5 * 0.5 / math.e
    assert one.score(510.0, 0.1) == pytest.approx(0.1 / math.e * (1 + 10 * penalty))


@given(st.lists(st.floats(0, 20), max_size=60), st.integers(1, 5))
def test_no_minute_has_more_calls_than_allowed(waits: list[float], most: int) -> None:
    pool, now, begun = Balance([member("a", 100, calls_per_minute=most)]), 0.0, []
    for passed in waits:
        now += passed
        if isinstance(pool.choose(now), Call):
            begun.append(now)
        assert len([at for at in begun if at > now - 60.0]) <= most


def test_a_call_has_one_outcome_and_gives_its_place_back_once() -> None:
    one = member("a", 1)
    pool = Balance([one])
    first = call(pool)
    first.succeeded(1.0)
    first.failed(OSError(), 2.0, b"k")
    first.released()
    assert one.active == 0
    assert one.breaker.counts(2.0)["world"] == 0
    with pytest.raises(KeyboardInterrupt), call(pool, 2.0):
        raise KeyboardInterrupt
    assert one.active == 0


def test_a_cancelled_probe_lets_the_next_begin() -> None:
    one = fragile("a")
    break_down(one)
    with call(Balance([one]), 1.0):
        assert none(Balance([one]), 1.0) == (Reason.PROBING, None)
    assert chosen(Balance([one]), 1.0) == "a"


def test_time_alone_changes_something_at_the_next_limit_or_probe() -> None:
    a, b = member("a", calls_per_minute=1), fragile("b")
    pool = Balance([a, b])
    assert pool.next_change_at(0.0) is None
    call(pool, 0.0, b).succeeded(0.0)
    assert pool.next_change_at(0.0) == 60.0
    break_down(b, 50.0)
    assert pool.next_change_at(50.0) == b.breaker.next_probe_at
    assert pool.next_change_at(55.0) == 60.0
    assert pool.next_change_at(60.0) is None


def test_states_tell_what_is_known_of_each_member() -> None:
    a, b = member("a", 2), fragile("b", 3)
    break_down(b)
    pool = Balance([a, b])
    call(pool)
    states = pool.states(0.0)
    assert [(one.name, one.active, one.capacity, one.calls, one.failures) for one in states] == [
        ("a", 1, 2, 1, 0),
        ("b", 0, 3, 1, 1),
    ]
    assert [one.breaker.value for one in states] == ["closed", "open"]
    assert [one.opened_at for one in states] == [None, b.breaker.opened_at]
    assert [one.score for one in states] == [a.score(0.0, 1.0), b.score(0.0, 1.0)]


def test_a_call_that_is_cancelled_has_taken_at_least_so_long() -> None:
    one = member("a")
    pool = Balance([one])
    call(pool, 0.0).abandoned(2.0)
    assert (one.active, one.failures, one.duration_seconds) == (0, 0, 2.0)
    call(pool, 2.0).abandoned(3.0)
    assert one.duration_seconds == 2.0
    call(pool, 3.0).abandoned(9.0)
    assert one.duration_seconds == 6.0
    bad = fragile("b")
    break_down(bad)
    call(Balance([bad]), 1.0).abandoned(2.0)
    assert bad.breaker.may_call(2.0)


@pytest.mark.parametrize("key", [None, b"k"])
def test_outcomes_reach_the_members_breaker(key: Hashable) -> None:
    one = member("a")
    call(Balance([one])).succeeded(0.0, key)
    call(Balance([one])).failed(KeyError(), 0.0, b"k")
    counts = one.breaker.counts(0.0)
    assert (counts["success"], counts["unknown"]) == (1, 1)
    assert one.breaker.wants_keys
    call(Balance([one])).succeeded(0.0, b"k")
    assert not one.breaker.wants_keys


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from("cccsfr"), st.integers(0, 9)), max_size=80),
)
def test_no_member_ever_exceeds_its_capacity_and_no_place_is_lost(
    capacities: list[int], steps: list[tuple[str, int]]
) -> None:
    members = [member(str(number), capacity) for number, capacity in enumerate(capacities)]
    pool, calls, now = Balance(members), list[Call](), 0.0
    for step, which in steps:
        now += 0.1
        if step == "c":
            begun = pool.choose(now)
            assert isinstance(begun, Call) is (len(calls) < sum(capacities))
            if isinstance(begun, Call):
                calls.append(begun)
        elif calls:
            ended = calls.pop(which % len(calls))
            if step == "s":
                ended.succeeded(now)
            elif step == "f":
                ended.failed(OSError(), now, b"k")
            else:
                ended.released()
        for one in members:
            assert one.active == sum(running.member is one for running in calls)
            assert one.active <= one.config.capacity


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"capacity": 0}, "capacity of a must be a whole number of at least 1, not 0"),
        ({"capacity": None}, "capacity of a must be a whole number"),
        ({"capacity": 1.5}, "capacity of a must be a whole number"),
        ({"calls_per_minute": 0}, "calls_per_minute of a must be a whole number of at least 1"),
        ({"weight": 0}, "weight of a must be above 0 and finite, not 0"),
        ({"weight": math.inf}, "weight of a must be above 0 and finite"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: Mapping[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=f"^pool: {told}"):
        MemberConfig("a", **settings)  # type: ignore[arg-type]  # wrong types are a part of the test


def test_a_pool_has_members_with_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="give at least one member"):
        Balance([])
    with pytest.raises(ValueError, match="two members have the name b"):
        Balance([member("a"), member("b"), member("b")])
    assert MemberConfig("a", calls_per_minute=1).capacity == 1
