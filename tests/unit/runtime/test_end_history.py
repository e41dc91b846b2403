"""How long ago a record came, by where the end of its partition was."""

from hypothesis import given
from hypothesis import strategies as st

from streamapp.runtime.end_history import MOST_POINTS, EndHistory


def test_a_record_came_between_the_measurements_around_it() -> None:
    history = EndHistory()
    history.note(0.0, 100)
    history.note(10.0, 200)
    assert history.arrival(99) is None  # it was there before
    assert history.arrival(100) == 0.0
    assert history.arrival(150) == 5.0
    assert history.arrival(200) is None  # it is not there yet


def test_a_quiet_time_does_not_make_a_record_older() -> None:
    history = EndHistory()
    for second in range(1000):
        history.note(float(second), 100)
    history.note(1000.0, 102)
    came_at = history.arrival(101)
    assert came_at is not None
    assert 999.0 <= came_at <= 1000.0


def test_a_log_that_was_cut_off_or_made_anew_begins_anew() -> None:
    history = EndHistory()
    history.note(0.0, 100)
    history.note(1.0, 200)
    history.note(2.0, 5)
    assert history.arrival(3) is None
    history.note(3.0, 7)
    assert history.arrival(5) == 2.0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=2000), st.data())
def test_it_is_bounded_and_never_far_off(growth: list[int], data: st.DataObject) -> None:
    history, came, end = EndHistory(), {}, 0
    for second, more in enumerate(growth):
        for offset in range(end, end + more):
            came[offset] = second
        end += more
        history.note(float(second), end)
    assert len(history._points) <= MOST_POINTS
    if not end:
        return
    offset = data.draw(st.integers(0, end - 1))
    found = history.arrival(offset)
    if found is None:
        assert offset < history._points[0].end
    else:
        gap = max(1, 2 * len(growth) // MOST_POINTS) * 2
        assert came[offset] - gap - 1 <= found <= came[offset] + gap
