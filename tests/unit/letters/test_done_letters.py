"""Which letters of a partition are open, against a set of all offsets."""

from hypothesis import given
from hypothesis import strategies as st

from streamapp.letters import done_letters
from streamapp.letters.done_letters import DoneLetters

OFFSETS = st.integers(0, 40)


@given(OFFSETS, st.lists(st.tuples(OFFSETS, st.booleans(), OFFSETS)), st.integers(0, 60))
def test_open_letters_are_those_that_no_entry_says_are_done(
    begin: int, entries: list[tuple[int, bool, int]], end: int
) -> None:
    known, done = DoneLetters(), set[int]()
    known.begin_at(begin)
    for offset, is_done, deleted_below in entries:
        known.note(offset, is_done=is_done)
        (done.add if is_done else done.discard)(offset)
        begin = max(begin, deleted_below)
        known.begin_at(begin)
    still_open = [offset for offset in range(begin, end) if offset not in done]
    assert known.open_below(end) == len(still_open)
    assert known.first_open(end) == (still_open[0] if still_open else None)
    assert not known.has_overflowed


def test_a_letter_too_far_behind_the_first_one_takes_no_memory_and_is_told() -> None:
    known = DoneLetters()
    known.note(done_letters.MOST_LETTERS, is_done=False)
    assert not known.has_overflowed
    known.note(done_letters.MOST_LETTERS, is_done=True)
    assert known.has_overflowed
