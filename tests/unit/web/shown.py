"""Reads the page as a person does: what stands in which cell, and in which order."""

from html.parser import HTMLParser

_VOID = ("meta", "link", "br", "input")
_INLINE = ("a", "b", "code", "span", "time")


class _Reader(HTMLParser):
    """Collects the text of each element with an id, and the cells of each row."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[tuple[str, str | None]] = []
        self._cell: list[str] | None = None
        self._is_head = False
        self.texts: dict[str, list[str]] = {}
        self.rows: list[dict[str, list[str]]] = []
        self.row_ids: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in _VOID:
            return
        if tag not in _INLINE:
            self.handle_data(" ")
        name = found.get("id")
        self._open.append((tag, name))
        if name:
            self.texts[name] = []
        if tag == "thead":
            self._is_head = True
        if tag == "tr" and not self._is_head:
            self.rows.append({})
            self.row_ids.append(name)
        if tag in ("td", "th") and not self._is_head:
            self._cell = self.rows[-1].setdefault(found.get("data-label") or "name", [])

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass
        if tag in ("td", "th"):
            self._cell = None
        if tag == "thead":
            self._is_head = False

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name:
                self.texts[name].append(data)
        if self._cell is not None:
            self._cell.append(data)


class Shown:
    """A page as it is shown."""

    def __init__(self, html: str) -> None:
        self._reader = _Reader()
        self._reader.feed(html)

    def text(self, name: str = "content") -> str:
        """All text of an element, by its id."""
        return _plain(self._reader.texts[name])

    @property
    def ids(self) -> set[str]:
        """The ids of the page."""
        return set(self._reader.texts)

    def row(self, name: str) -> dict[str, str]:
        """The cells of a row by their labels, by the id of the row."""
        return self._cells(self._reader.row_ids.index(name))

    def rows(self, beginning: str) -> list[dict[str, str]]:
        """All rows whose name begins so."""
        found = [self._cells(number) for number in range(len(self._reader.rows))]
        return [one for one in found if one.get("name", "").startswith(beginning)]

    def _cells(self, number: int) -> dict[str, str]:
        return {label: _plain(parts) for label, parts in self._reader.rows[number].items()}


def _plain(parts: list[str]) -> str:
    text = "".join(parts)
    for sign, unseen in (("?", "not known"), ("-", "does not apply")):
        text = text.replace(f"{sign}{unseen}", sign)
    return " ".join(text.split())
