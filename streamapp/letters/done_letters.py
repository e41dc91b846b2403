"""Which letters of one partition are done, in little memory: one byte for each of them."""

MOST_LETTERS = 16 * 1024 * 1024
"""Of so many letters of a partition it is known whether they are done, which takes 16 MB."""


class DoneLetters:
    """The letters of one partition with which something was done, by their offsets.

    Attributes:
        has_overflowed: whether one stood so far behind the first that it could not be noted.
    """

    __slots__ = ("_begin", "_done", "has_overflowed")

    def __init__(self) -> None:
        self._begin = 0
        self._done = bytearray()
        self.has_overflowed = False

    def begin_at(self, offset: int) -> None:
        """Forget the letters below this offset, which the topic has deleted."""
        if offset > self._begin:
            del self._done[: offset - self._begin]
            self._begin = offset

    def note(self, offset: int, *, is_done: bool) -> None:
        """Note whether the letter at this offset is done."""
        place = offset - self._begin
        if place < 0:
            return
        if place >= MOST_LETTERS:
            self.has_overflowed = self.has_overflowed or is_done
            return
        if place >= len(self._done):
            self._done.extend(bytes(place + 1 - len(self._done)))
        self._done[place] = is_done

    def open_below(self, end: int) -> int:
        """How many offsets below this one are not those of a letter that is done."""
        return max(0, end - self._begin) - self._done.count(1, 0, max(0, end - self._begin))

    def first_open(self, end: int) -> int | None:
        """The first offset below this one that is not done; `None` without any."""
        place = self._done.find(0, 0, max(0, end - self._begin))
        first = self._begin + (len(self._done) if place < 0 else place)
        return first if first < end else None
