"""How many dead letters are too many."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.policies.budget import BeyondBudget, BudgetMeter, DeadLetterBudget

STEPS = st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.integers(0, 8)), max_size=100)


def fill(meter: BudgetMeter, dead_letters: int, others: int, now: float = 0.0) -> None:
    meter.finished(others, now)
    for _ in range(dead_letters):
        meter.dead_letter(now)


@given(STEPS, st.integers(0, 6))
def test_never_are_there_more_dead_letters_in_a_minute(
    steps: list[tuple[float, bool, int]], most: int
) -> None:
    meter, now, written = BudgetMeter(DeadLetterBudget(share=None, per_minute=most)), 0.0, []
    for passed, _, _ in steps:
        now += passed
        if meter.allows(now):
            meter.dead_letter(now)
            written.append(now)
        else:
            recent = [at for at in written if at > now - 66.0]
            assert len(recent) >= most
        assert len([at for at in written if at > now - 60.0]) <= most


@given(STEPS)
def test_within_the_window_the_share_is_kept_once_there_are_enough_records(
    steps: list[tuple[float, bool, int]],
) -> None:
    budget = DeadLetterBudget(share=0.5, minimum_records=10, window_seconds=1e6)
    meter, now, written, others = BudgetMeter(budget), 0.0, 0, 0
    for passed, is_bad, count in steps:
        now += passed
        if not is_bad:
            meter.finished(count, now)
            others += count
        allowed = meter.allows(now)
        records = written + others + 1
        assert allowed == (records < 10 or written + 1 <= 0.5 * records)
        if is_bad and allowed:
            meter.dead_letter(now)
            written += 1


def test_without_settings_half_the_records_may_be_dead_letters_and_the_stage_holds_beyond() -> None:
    budget = DeadLetterBudget()
    assert budget.then is BeyondBudget.HOLD
    meter = BudgetMeter(budget)
    fill(meter, 98, 0)
    assert meter.allows(0.0)
    fill(meter, 1, 0)
    assert not meter.allows(0.0)
    fill(meter, 0, 100)
    assert meter.allows(0.0)
    fill(meter, 1, 0)
    assert not meter.allows(0.0)
    assert meter.allows(60.0)


def test_a_third_of_all_records_is_within_the_budget() -> None:
    meter = BudgetMeter(DeadLetterBudget())
    for number in range(3_000):
        assert meter.allows(number / 100)
        fill(meter, 1, 2, number / 100)


def test_a_refusal_tells_the_figures() -> None:
    by_share = BudgetMeter(DeadLetterBudget(share=0.1, minimum_records=5))
    by_share.finished(9, 0.0)
    by_share.dead_letter(0.0)
    assert by_share.refusal(1.0) == "with the next one 2 of 11 records within 60 s, above 0.1"
    by_minute = BudgetMeter(DeadLetterBudget(per_minute=2))
    by_minute.dead_letter(0.0)
    by_minute.dead_letter(0.0)
    assert by_minute.refusal(1.0) == "with the next one 3 within a minute, above 2"


def test_it_tells_when_to_ask_again() -> None:
    meter = BudgetMeter(DeadLetterBudget(minimum_records=2, window_seconds=100.0, per_minute=3))
    assert meter.ask_again_at(0.0) is None
    fill(meter, 3, 10, 5.0)
    assert not meter.allows(6.0)
    assert meter.ask_again_at(6.0) == 65.0  # the minute
    fill(meter, 20, 0, 30.0)
    assert meter.ask_again_at(31.0) == 105.0  # the share
    assert meter.ask_again_at(106.0) == 130.0
    assert meter.ask_again_at(130.0) is None
    assert meter.allows(130.0)


def test_a_budget_of_none_is_never_asked_again() -> None:
    meter = BudgetMeter(DeadLetterBudget(share=0, minimum_records=1))
    assert not meter.allows(0.0)
    assert meter.ask_again_at(0.0) is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"share": -0.1}, r"share must be from 0 to 1, not -0\.1"),
        ({"share": 1.1}, "share must be from 0 to 1"),
        ({"share": math.nan}, "share must be from 0 to 1"),
        ({"minimum_records": 0}, "minimum_records must be a whole number of at least 1, not 0"),
        ({"minimum_records": 2.5}, "minimum_records must be a whole number"),
        ({"window_seconds": 0}, "window_seconds must be above 0 and finite, not 0"),
        ({"window_seconds": math.inf}, "window_seconds must be above 0 and finite"),
        ({"per_minute": -1}, "per_minute must be a whole number that is not negative, not -1"),
        ({"per_minute": 0.5}, "per_minute must be a whole number"),
        ({"then": "hold"}, "then must be BeyondBudget.HOLD or BeyondBudget.STOP, not 'hold'"),
    ],
)
def test_a_value_out_of_range_is_refused(settings: Mapping[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=f"^budget: {told}"):
        DeadLetterBudget(**settings)  # type: ignore[arg-type]  # wrong types are a part of the test


def test_the_ends_of_the_ranges_are_allowed() -> None:
    for share in (0, 1, None):
        DeadLetterBudget(share, minimum_records=1, per_minute=0, then=BeyondBudget.STOP)
