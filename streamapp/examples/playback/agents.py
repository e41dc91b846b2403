"""The agents of the playback pipeline.

Hot path: each is called once for each record.
"""

from collections.abc import Iterator

from streamapp.errors import Permanent
from streamapp.examples.playback.catalog import REGIONS, Title, TitleCatalog
from streamapp.examples.playback.models import (
    Cause,
    EnrichedPlayback,
    Playback,
    PlaybackKind,
    RawPlayback,
    ScoredPlayback,
)
from streamapp.pipeline.out import Out

ALERTS_ROUTE = "alerts"
"""Name of the route for alerts."""

POOR_QUALITY = 40
"""Quality below which an alert is raised."""

_FULL_BITRATE_KBPS = 6_000
_BITRATE_WEIGHT = 30
_MS_OF_STALL_PER_POINT = 80
_STALL_WEIGHT = 60
_ERROR_PENALTY = 75


def validate(event: RawPlayback) -> Playback:
    """Check the values of the fields.

    Raises:
        pydantic.ValidationError: a field has a wrong value, such as an unknown kind.
    """
    return Playback.model_validate(event.__dict__)


class FindTitle:
    """Find the title of an event in the catalogue; opens and closes its client."""

    def __init__(self, catalog: TitleCatalog | None = None) -> None:
        self._catalog = catalog or TitleCatalog()

    async def open(self) -> None:
        """Open the catalogue, once per worker."""
        await self._catalog.open()

    async def close(self) -> None:
        """Close the catalogue."""
        await self._catalog.close()

    async def __call__(self, event: Playback) -> Title:
        """Look up the title.

        Raises:
            Permanent: the title does not exist.
            ConnectionError: the catalogue does not answer.
        """
        title = await self._catalog.title(event.title_id)
        if title is None:
            raise Permanent(f"there is no title {event.title_id!r}")
        return title


def find_region(event: Playback) -> str:
    """Find the region that the delivery site of an event serves.

    Raises:
        Permanent: the delivery site does not exist.
    """
    region = REGIONS.get(event.cdn)
    if region is None:
        raise Permanent(f"there is no delivery site {event.cdn!r}")
    return region


def enrich(event: Playback, title: Title, region: str) -> EnrichedPlayback:
    """Add title and region to an event."""
    return EnrichedPlayback.model_validate(
        {**event.__dict__, "title": title.name, "genre": title.genre, "region": region}
    )


def score(event: EnrichedPlayback) -> ScoredPlayback:
    """Score the quality of one event: a low bitrate, stalls and errors cost points."""
    missing_kbps = max(0, _FULL_BITRATE_KBPS - event.bitrate_kbps)
    penalty, cause = missing_kbps * _BITRATE_WEIGHT // _FULL_BITRATE_KBPS, Cause.BITRATE
    total, worst = penalty, penalty
    if event.stall_ms:
        penalty = min(_STALL_WEIGHT, event.stall_ms // _MS_OF_STALL_PER_POINT)
        total += penalty
        if penalty > worst:
            worst, cause = penalty, Cause.STALL
    if event.kind is PlaybackKind.ERROR:
        total += _ERROR_PENALTY
        cause = Cause.ERROR
    return ScoredPlayback.model_validate(
        {
            **event.__dict__,
            "quality": max(0, 100 - total),
            "cause": cause if total else Cause.NONE,
        }
    )


def route(event: ScoredPlayback) -> Iterator[Out[ScoredPlayback]]:
    """Pass every event on, and raise an alert for a poor one."""
    yield Out(event)
    if event.quality < POOR_QUALITY:
        yield Out(event, to=ALERTS_ROUTE)
