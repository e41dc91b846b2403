"""Tables: whole where there is room, else without what matters least; never with half an id."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from streamapp.cli.table import laid_out

HEADINGS = ("agent", "takes", "gives", "description")
ROWS = [
    (
        "playback-quality-scorer",
        "PlaybackEvent",
        "ScoredPlaybackEvent",
        "Scores one event at once.",
    ),
    ("short", "int", "int", ""),
]
WORD = st.text(st.sampled_from("abc-._表"), min_size=1, max_size=30)
CELL = st.lists(WORD, min_size=1, max_size=4).map(" ".join)


def shown(rows: Sequence[Sequence[str]], width: int | None, **options: Sequence[str]) -> list[str]:
    return list(laid_out(HEADINGS, rows, width, **options).lines)


def test_where_there_is_room_each_row_is_a_line() -> None:
    expected = [
        "agent                    takes          gives                description",
        "playback-quality-scorer  PlaybackEvent  ScoredPlaybackEvent  Scores one event at once.",
        "short                    int            int",
    ]
    assert shown(ROWS, None) == expected
    assert shown(ROWS, 86) == expected


def test_cells_are_wrapped_between_their_words() -> None:
    assert shown(ROWS, 80, text=["description"]) == [
        "agent                    takes          gives                description",
        "playback-quality-scorer  PlaybackEvent  ScoredPlaybackEvent  Scores one event at",
        "                                                             once.",
        "short                    int            int",
    ]


def test_what_matters_least_goes_first_and_is_told() -> None:
    narrow = laid_out(HEADINGS, ROWS, 62, text=["description"])
    assert next(narrow.lines).split() == ["agent", "takes", "gives"]
    assert narrow.left_out == ["description"]
    other = laid_out(HEADINGS, ROWS, 62, text=["description"], least=["takes"])
    assert next(other.lines).split() == ["agent", "gives", "description"]
    assert other.left_out == ["takes"]


def test_a_column_for_which_there_is_no_room_does_not_take_others_with_it() -> None:
    rows = [("short", "int", "x" * 100, "Fine.")]
    narrow = laid_out(HEADINGS, rows, 40)
    assert list(narrow.lines) == ["agent  takes  description", "short  int    Fine."]
    assert narrow.left_out == ["gives"]


def test_what_matters_most_is_shown_whatever_its_width() -> None:
    assert shown(ROWS, 10) == ["agent", "playback-quality-scorer", "short"]
    least = ["agent", "takes", "gives"]
    assert shown([("a", "b", "c", "y" * 30)], 10, least=least) == ["description", "y" * 30]


def test_only_columns_of_text_are_broken_within_words() -> None:
    rows = [("an-id-of-some-length", "b", "c", "streamapp.agents.validator:Validator")]
    lines = shown(rows, 56, text=["description"])
    parts = [line.split()[-1] for line in lines[1:]]
    assert parts == ["streamapp.agents.val", "idator:Validator"]


@given(
    st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=5),
    st.integers(1, 120),
    st.sets(st.sampled_from(HEADINGS[1:])),
    st.permutations(HEADINGS),
    st.integers(0, 4),
)
def test_no_word_is_broken_and_no_line_is_too_long(
    rows: list[tuple[str, ...]], width: int, text: set[str], order: list[str], count: int
) -> None:
    layout = laid_out(HEADINGS, rows, width, text=text, least=order[:count])
    lines = list(layout.lines)
    kept = [i for i, heading in enumerate(HEADINGS) if heading not in layout.left_out]
    assert kept
    if len(kept) > 1:
        assert max(map(cell_len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    for row in rows:
        for i in kept:
            if HEADINGS[i] not in text:
                assert set(row[i].split()) <= words


@pytest.mark.parametrize("width", [None, 5])
def test_without_rows_there_are_the_headings(width: int | None) -> None:
    assert shown([], width)[0].startswith("agent")
