"""Dead letters that have a failure in common, counted."""

from collections.abc import Iterable
from dataclasses import dataclass

from streamapp.letters.letter import Letter


@dataclass(slots=True)
class Group:
    """Dead letters of one topic with the same fingerprint and reason.

    Attributes:
        sample: the last of them.
        count: how many there are.
        first_ms, last_ms: when the first and the last of them failed, in milliseconds since the
            epoch.
        oldest_ms: smallest timestamp, from which retention counts.
    """

    sample: Letter
    count: int
    first_ms: int
    last_ms: int
    oldest_ms: int

    def seconds_left(self, retention_ms: int | None, now_ms: int) -> float | None:
        """Time until retention deletes the first of them; `None` if it never does."""
        if retention_ms is None:
            return None
        return max(0.0, (self.oldest_ms + retention_ms - now_ms) / 1000)


class Groups:
    """Groups letters, one after the other."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], Group] = {}

    def add(self, letter: Letter) -> None:
        """Count a letter."""
        told, at = letter.told, letter.failed_ms
        key = (letter.place.topic, told.pipeline, told.stage, told.fingerprint, told.reason)
        found = self._groups.get(key)
        if found is None:
            self._groups[key] = Group(letter, 1, at, at, letter.timestamp_ms)
            return
        found.count += 1
        if at >= found.last_ms:
            found.last_ms, found.sample = at, letter
        found.first_ms = min(found.first_ms, at)
        found.oldest_ms = min(found.oldest_ms, letter.timestamp_ms)

    def largest_first(self) -> list[Group]:
        """All groups, the largest first, of equal ones the latest."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, -group.last_ms))

    @property
    def count(self) -> int:
        """Number of letters."""
        return sum(group.count for group in self._groups.values())


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """The groups of some letters, the largest first."""
    groups = Groups()
    for letter in letters:
        groups.add(letter)
    return groups.largest_first()
