"""What somebody who misspelt a name probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or some of them."""
    names = sorted(known)
    if not names:
        return "there are none"
    if near := get_close_matches(name, names, n=1):
        return f"did you mean {near[0]!r}?"
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return f"there are {shown}{' and others' if len(names) > _SHOWN else ''}"


_SHOWN = 6
