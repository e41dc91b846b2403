"""Titles and regions, with which playback events are enriched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

REGIONS: Mapping[str, str] = MappingProxyType(
    {
        "ams1": "europe-west",
        "fra2": "europe-central",
        "iad1": "america-east",
        "sjc3": "america-west",
        "gru1": "america-south",
        "sin2": "asia-southeast",
        "nrt1": "asia-northeast",
        "syd1": "oceania",
    }
)
"""Region that each delivery site serves, by its code."""

_ADJECTIVES = ("Silent", "Golden", "Broken", "Hidden", "Distant", "Burning", "Frozen", "Last")
_NOUNS = ("River", "Harbour", "Summer", "Signal", "Orchard", "Station", "Mirror", "Winter")
_GENRES = ("drama", "comedy", "documentary", "thriller", "animation", "sport", "news")

DEFAULT_TITLE_COUNT = 2_000


@dataclass(frozen=True, slots=True)
class Title:
    """One title of the service."""

    title_id: str
    name: str
    genre: str


def make_titles(count: int = DEFAULT_TITLE_COUNT) -> tuple[Title, ...]:
    """The service's titles, most watched first; every call returns the same."""
    return tuple(
        Title(
            title_id=f"title-{number:05d}",
            name=(
                f"The {_ADJECTIVES[number % len(_ADJECTIVES)]}"
                f" {_NOUNS[number // len(_ADJECTIVES) % len(_NOUNS)]}"
                f" {number // (len(_ADJECTIVES) * len(_NOUNS)) + 1}"
            ),
            genre=_GENRES[number % len(_GENRES)],
        )
        for number in range(count)
    )


class TitleCatalog:
    """A client of the service's title catalogue; here the titles are in memory.

    It is used like a database client: opened once, queried often, closed at the end.

    Attributes:
        is_down: whether it answers nothing, to see what an outage does.
    """

    def __init__(self, titles: Sequence[Title] | None = None) -> None:
        self.is_down = False
        self._titles = make_titles() if titles is None else titles
        self._by_id: dict[str, Title] | None = None

    async def open(self) -> None:
        """Load the titles."""
        self._by_id = {title.title_id: title for title in self._titles}

    async def close(self) -> None:
        """Drop the titles."""
        self._by_id = None

    async def __aenter__(self) -> Self:
        """Open it at the start of the block."""
        await self.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close it at the end of the block."""
        await self.close()

    async def title(self, title_id: str) -> Title | None:
        """Find a title; `None` if the catalogue does not have it.

        Raises:
            RuntimeError: the client is not open.
            ConnectionError: the catalogue is down.
        """
        if self.is_down:
            raise ConnectionError("the title catalogue does not answer")
        if self._by_id is None:
            raise RuntimeError("the title catalogue is not open: call open() first")
        return self._by_id.get(title_id)
