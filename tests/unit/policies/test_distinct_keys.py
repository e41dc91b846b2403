"""Which of the latest keys failed."""

from hypothesis import given
from hypothesis import strategies as st

from streamapp.policies.distinct_keys import MOST_KEYS, DistinctKeys

KEYED = st.tuples(st.integers(0, 400), st.floats(0, 3), st.booleans())
RUN = st.tuples(st.none(), st.floats(0, 3), st.integers(1, 400))


@given(st.lists(KEYED, max_size=400))
def test_it_knows_the_latest_outcome_of_each_of_the_latest_keys(
    steps: list[tuple[int, float, bool]],
) -> None:
    keys, now, model = DistinctKeys(10.0), 0.0, dict[int, tuple[float, bool]]()
    for key, passed, failed in steps:
        now += passed
        keys.see(key, now, failed=failed)
        model.pop(key, None)
        model[key] = (now, failed)
        latest = [one for one in list(model.values())[-MOST_KEYS:] if one[0] > now - 10.0]
        assert keys.distinct == len(latest)
        assert keys.failing == sum(failed for _, failed in latest)


@given(st.lists(KEYED | RUN, max_size=80))
def test_it_is_bounded_and_its_sums_are_right(
    steps: list[tuple[int | None, float, int]],
) -> None:
    keys, now = DistinctKeys(10.0), 0.0
    for key, passed, outcome in steps:
        now += passed
        if key is None:
            keys.see_successes(outcome, now)
        else:
            keys.see(key, now, failed=bool(outcome))
        seen = keys._seen.values()
        assert keys.distinct == sum(one.keys for one in seen) <= MOST_KEYS
        assert keys.failing == sum(one.failed for one in seen)
        assert all(one.at > now - 10.0 and one.keys > 0 for one in seen)


def test_successes_without_keys_count_as_a_key_each_up_to_all_that_are_remembered() -> None:
    keys = DistinctKeys(10.0)
    keys.see("a", 0.0, failed=True)
    keys.see_successes(3, 0.0)
    assert (keys.distinct, keys.failing) == (4, 1)
    keys.see_successes(10_000, 0.1)
    assert (keys.distinct, keys.failing) == (MOST_KEYS, 0)


def test_runs_of_successes_become_one_for_a_tenth_of_the_window() -> None:
    keys = DistinctKeys(10.0)
    for tenth in range(25):
        keys.see_successes(1, tenth / 10)
    assert [seen.keys for seen in keys._seen.values()] == [10, 10, 5]


def test_a_run_is_as_old_as_the_last_success_in_it() -> None:
    keys = DistinctKeys(10.0)
    keys.see_successes(1, 0.0)
    keys.see_successes(1, 0.9)
    keys.forget(10.0)
    assert keys.distinct == 2
    keys.forget(10.9)
    assert keys.distinct == 0


def test_a_run_ends_where_a_key_is_seen_so_that_the_oldest_are_forgotten_first() -> None:
    keys = DistinctKeys(10.0)
    keys.see_successes(100, 0.0)
    for key in range(100):
        keys.see(key, 0.0, failed=True)
    keys.see_successes(100, 0.0)
    assert (keys.distinct, keys.failing) == (256, 100)
    keys.see_successes(100, 0.0)
    assert (keys.distinct, keys.failing) == (256, 56)


def test_an_emptied_one_begins_anew() -> None:
    keys = DistinctKeys(10.0)
    keys.see_successes(5, 0.0)
    keys.see("a", 0.0, failed=True)
    keys.clear()
    assert (keys.distinct, keys.failing) == (0, 0)
    keys.see_successes(2, 0.0)
    assert (keys.distinct, keys.failing) == (2, 0)


def test_a_run_that_was_forgotten_takes_in_nothing_more() -> None:
    keys = DistinctKeys(10.0)
    keys.see_successes(5, 0.0)
    keys.forget(10.0)
    keys.see_successes(2, 10.0)
    assert keys.distinct == 2
    assert len(keys._seen) == 1
