"""Counts of what happened lately."""

from hypothesis import given
from hypothesis import strategies as st

from streamapp.policies.window import Window

STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0, 30), st.integers(1, 50)), min_size=1, max_size=60
)


@given(STEPS)
def test_it_counts_the_window_and_at_most_a_tenth_more(steps: list[tuple[int, float, int]]) -> None:
    window, now, happened = Window(2, 60.0), 0.0, list[tuple[int, float, int]]()
    for kind, passed, count in steps:
        now += passed
        window.add(kind, now, count)
        happened.append((kind, now, count))
        for one in (0, 1):
            least = sum(c for k, at, c in happened if k == one and at > now - 60.0)
            most = sum(c for k, at, c in happened if k == one and at > now - 66.0)
            assert least <= window.totals(now)[one] <= most
        assert len(window._buckets) <= 13


@given(STEPS)
def test_with_a_bound_it_keeps_about_the_latest_counts(steps: list[tuple[int, float, int]]) -> None:
    window, added = Window(2, 1e9, most=100), 0
    for kind, passed, count in steps:
        window.add(kind, passed, count)
        added += count
        assert min(added, 100) <= sum(window.totals(passed)) < 100 + 10 + 50
        assert len(window._buckets) <= 22


def test_it_is_bounded_when_nobody_reads_it() -> None:
    window = Window(1, 10.0, most=100)
    for number in range(1_000):
        window.add(0, number / 10, 30)
    assert len(window._buckets) <= 22


def test_what_happened_a_window_ago_is_forgotten() -> None:
    window = Window(1, 10.0)
    window.add(0, 5.0)
    assert list(window.totals(14.9)) == [1]
    assert list(window.totals(15.0)) == [0]


def test_it_tells_when_its_oldest_counts_leave() -> None:
    window = Window(1, 10.0)
    assert window.oldest_leaves_at() is None
    window.add(0, 5.0)
    window.add(0, 5.5)  # in the same tenth
    window.add(0, 7.0)
    assert window.oldest_leaves_at() == 15.5
    window.totals(15.5)
    assert window.oldest_leaves_at() == 17.0


def test_it_can_be_emptied() -> None:
    window = Window(2, 10.0, most=10)
    window.add(1, 1.0, 7)
    window.clear()
    assert list(window.totals(1.0)) == [0, 0]
    window.add(0, 1.0)
    assert list(window.totals(1.0)) == [1, 0]
