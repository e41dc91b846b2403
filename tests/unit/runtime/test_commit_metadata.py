"""What is finished beyond a committed offset survives a restart, in 4,096 bytes at the most."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.brokers.protocols import MAX_COMMIT_METADATA_BYTES
from streamapp.runtime.commit_metadata import MAX_OFFSETS, decode, encode, is_ours

BASES = st.integers(0, 2**62)


@given(base=BASES, ahead=st.frozensets(st.integers(0, 5000)))
def test_what_was_written_is_read(base: int, ahead: frozenset[int]) -> None:
    finished = frozenset(base + distance for distance in ahead)
    text, complete = encode(base, finished)
    assert complete
    assert decode(text, base) == finished
    assert len(text.encode()) <= MAX_COMMIT_METADATA_BYTES


@given(
    base=BASES,
    ahead=st.frozensets(st.integers(1, 10**6), min_size=1),
    stride=st.integers(1, 97),
    count=st.integers(20_000, 60_000),
)
def test_when_it_does_not_fit_the_lowest_are_kept(
    base: int, ahead: frozenset[int], stride: int, count: int
) -> None:
    finished = {base + distance for distance in ahead}
    finished |= {base + 1 + stride * number for number in range(count)}
    text, complete = encode(base, finished)
    kept = decode(text, base)
    assert len(text.encode()) <= MAX_COMMIT_METADATA_BYTES
    assert kept == frozenset(sorted(finished)[: len(kept)])
    assert complete == (len(kept) == len(finished))
    assert len(kept) > 1000


def test_the_shorter_form_is_chosen() -> None:
    rows, _ = encode(10, range(11, 5000))
    holes, _ = encode(10, range(11, 5000, 2))
    assert len(rows) < 20
    assert len(holes) < 900


def test_nothing_ahead_is_a_mark_that_the_commit_is_ours() -> None:
    text, complete = encode(7, ())
    assert complete
    assert decode(text, 7) == frozenset()
    assert is_ours(text, 7)
    assert is_ours(encode(7, [9])[0], 7)


@pytest.mark.parametrize("text", ["", "1:n:8:", "2:n:7:", "somebody", "1:n:7"])
def test_what_others_commit_or_move_is_not_ours(text: str) -> None:
    assert not is_ours(text, 7)
    assert decode(text, 7) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "1:b:8:Ag==",  # counts from another offset
        "2:b:7:Ag==",  # another version
        "1:x:7:Ag==",  # another form
        "1:b:7:A",  # not base64
        "1:b:7:A*g==",  # base64 with something else in it
        "1:r:7:AQ==",  # half a pair
        "1:b:7:Ä",
        "somebody else's",
        "1:b:7:Ag==:",
        "1:r:7:" + base64.b64encode(b"\x01\xff\xff\xff\xff\x7f").decode(),  # a run too long
    ],
)
def test_what_is_not_ours_is_ignored(text: str) -> None:
    assert decode(text, 7) == frozenset()
    assert MAX_OFFSETS < 2**32


@given(text=st.text(max_size=80), base=BASES)
def test_no_text_can_do_harm(text: str, base: int) -> None:
    assert all(offset >= base for offset in decode(text, base))


def test_texts_that_were_committed_earlier_are_read_and_written_alike() -> None:
    assert encode(7, [8]) == ("1:b:7:Ag==", True)
    assert encode(7, range(9, 1009)) == ("1:r:7:AugH", True)
    assert decode("1:b:7:Ag==", 7) == {8}
    assert decode("1:r:7:AugH", 7) == frozenset(range(9, 1009))


def test_every_other_offset_takes_a_bit_for_each_wherever_the_partition_stands() -> None:
    base = 10**9
    text, complete = encode(base, range(base + 1, base + 1000, 2))
    assert complete
    assert len(text) < 200


def test_what_does_not_fit_fills_the_text_nearly() -> None:
    for stride in (2, 500):  # bits, and rows
        text, complete = encode(0, range(1, 30_000 * stride, stride))
        assert not complete
        assert MAX_COMMIT_METADATA_BYTES - len(text) < 20


def test_a_row_of_as_many_offsets_as_a_stage_may_hold_is_read_and_a_longer_one_is_not() -> None:
    longest = range(8, 8 + 2**20)
    assert decode(encode(7, longest)[0], 7) == frozenset(longest)
    assert decode(encode(7, range(8, 9 + 2**20))[0], 7) == frozenset()


def test_a_row_that_does_not_fit_leaves_out_what_stands_behind_it() -> None:
    longer = list(range(1, 129))  # a row that takes three bytes of the text
    finished = longer + [229 + 101 * number for number in range(1530)]  # two bytes each
    last = finished[-1]
    row = range(last + 129, last + 129 + 128)  # four bytes, and three are left
    behind = row[-1] + 2
    text, complete = encode(0, [*finished, *row, behind])
    assert not complete
    assert decode(text, 0) == frozenset(finished)
