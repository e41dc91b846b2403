"""Text of a file as one line that a terminal can only show."""

_LONGEST = 400


def printable(text: str, longest: int = _LONGEST) -> str:
    """The text with an escape for each character that is none to be seen, and cut if it is long."""
    cut = text if len(text) <= longest else f"{text[: longest - 4]} ..."
    return "".join(one if one.isprintable() else _escape(one) for one in cut)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
