"""Lays tables out: whole on a wide terminal, on a narrow one without what matters least.

Ids and numbers are never broken, since nobody can search for half of one or copy it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_GAP = "  "
_LEAST_TEXT = 16
"""Least width of a column of text; a longer word in it may be broken."""

_WRAPS = Console(width=_LEAST_TEXT, file=None)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is shown.

    Attributes:
        lines: the line of headings, and those of the rows.
        left_out: headings of columns for which there is no room.
    """

    lines: Iterator[str]
    left_out: Sequence[str]


def laid_out(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None,
    *,
    text: Collection[str] = (),
    least: Sequence[str] = (),
) -> Layout:
    """Lay a table out within a width.

    A cell is wrapped between its words. If the longest words do not fit beside one another, columns
    are left out, but one: if that alone is wider, so are the lines.

    Args:
        headings: of the columns, no two alike.
        rows: their cells.
        width: of the terminal in cells; `None` for no bound.
        text: headings of columns in which words may be broken as well.
        least: headings of columns that are left out first; then those from the right.
    """
    table = [headings, *rows]
    shown = list(range(len(headings)))
    wanted = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    if width is None or _line(wanted) <= width:
        return Layout(_lines(table, shown, wanted), ())
    needed = _needed_widths(headings, table, text)
    order = [headings.index(one) for one in least]
    order += [i for i in reversed(shown) if i not in order]
    shown = _fitting(order, needed, width)
    room = max(0, width - _line([needed[i] for i in shown]))
    widths = list(needed)
    for i in shown:  # the more important columns stand first
        widths[i] += min(room, wanted[i] - needed[i])
        room -= widths[i] - needed[i]
    left_out = [heading for i, heading in enumerate(headings) if i not in shown]
    return Layout(_lines(table, shown, widths), left_out)


def _fitting(order: Sequence[int], needed: Sequence[int], width: int) -> list[int]:
    """The columns for which there is room, given from the least important one on."""
    *others, last = order
    shown = [last]
    for i in reversed(others):
        if _line([needed[j] for j in (*shown, i)]) <= width:
            shown.append(i)
    return sorted(shown)


def _line(widths: Sequence[int]) -> int:
    """Width of a line of such columns."""
    return sum(widths) + len(_GAP) * max(0, len(widths) - 1)


def _needed_widths(
    headings: Sequence[str], table: Sequence[Sequence[str]], text: Collection[str]
) -> list[int]:
    """Least width of each column: that of its longest word, if it may not be broken."""
    found = []
    for heading, column in zip(headings, zip(*table, strict=True), strict=True):
        longest = max((cell_len(word) for cell in column for word in cell.split()), default=0)
        of_heading = max(map(cell_len, heading.split()), default=0)
        bound = max(_LEAST_TEXT, of_heading)
        found.append(min(longest, bound) if heading in text else longest)
    return found


def _lines(
    table: Sequence[Sequence[str]], shown: Sequence[int], widths: Sequence[int]
) -> Iterator[str]:
    for row in table:
        cells = [_wrapped(row[i], widths[i]) for i in shown]
        for n in range(max(map(len, cells), default=0)):
            parts = [cell[n] if n < len(cell) else "" for cell in cells]
            padded = (
                part + " " * (widths[i] - cell_len(part))
                for i, part in zip(shown, parts, strict=True)
            )
            yield _GAP.join(padded).rstrip()


def _wrapped(cell: str, width: int) -> Sequence[str]:
    if cell_len(cell) <= width:
        return (cell,)
    return [line.plain.rstrip() for line in Text(cell).wrap(_WRAPS, width, overflow="fold")]
