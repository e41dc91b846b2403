"""Since when something is wrong of which no counter says since when."""

from collections.abc import Collection

from streamapp.observability.causes import Cause


class Noticed:
    """What was wrong with a stage whenever somebody looked, and since when."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: dict[Cause, float] = {}

    def update(self, causes: Collection[Cause], now: float) -> None:
        """Remember what is wrong at a time in monotonic seconds, and forget what is over."""
        self._since = {one: self._since.get(one, now) for one in causes}

    def since(self, cause: Cause) -> float | None:
        """Monotonic seconds at which it was seen first; `None` if it was not."""
        return self._since.get(cause)
