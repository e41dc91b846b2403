"""What is kept for a while: the youngest, so many of them and so many bytes."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streamapp.agents.recent import Recent

STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 6), st.integers(0, 4)))


@given(STEPS, st.integers(1, 4), st.integers(1, 6), st.integers(1, 12))
def test_what_is_young_enough_and_fits_is_kept(
    steps: Sequence[tuple[str, int, int]], most: int, age: int, max_bytes: int
) -> None:
    recent: Recent[int] = Recent(most, age, max_bytes)
    expected: list[tuple[str, int, int, int]] = []  # key, value, when, bytes; the youngest last
    now = 0
    for number, (key, size, seconds) in enumerate(steps):
        now += seconds
        recent.put(key, number, now, size)
        expected = [one for one in expected if one[0] != key]
        if size <= max_bytes:
            expected.append((key, number, now, size))
        while len(expected) > most or sum(one[3] for one in expected) > max_bytes:
            del expected[0]
        expected = [one for one in expected if now - one[2] < age]
        known = {one[0]: one[1] for one in expected}
        for asked in "abcd":
            assert recent.get(asked, now) == known.get(asked)
    assert len(recent._kept) <= most
    for asked in "abcd":
        assert recent.get(asked, now + age) is None


def test_what_is_too_old_is_let_go_when_something_is_put() -> None:
    recent: Recent[int] = Recent(10, 5)
    recent.put("a", 1, 0)
    recent.put("b", 2, 3)
    recent.put("c", 3, 5)
    assert list(recent._kept) == ["b", "c"]
