"""The outage of the title catalogue that `streamapp demo --outage` shows."""

from collections.abc import Callable

from streamapp.clock import Clock
from streamapp.examples.playback.catalog import TitleCatalog
from streamapp.observability.readable import counted
from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics

OUTAGE_SECONDS = 6.0
BEGINS_AFTER_RECORDS = 10_000

_TELL_SECONDS = 1.5
_LOOK_SECONDS = 0.05


class Outage:
    """Takes the catalogue down for a while, and tells what the stage that asks it does.

    Args:
        catalog: the catalogue.
        stage: counters of the stage.
        clock: time, by which the counters are written.
        say: prints a line.

    Attributes:
        has_begun: whether the catalogue was taken down.
        held_seconds: how long the stage has held its records; 0 if no record came meanwhile.
        dead_letters: records that became dead letters meanwhile and are not at fault.
    """

    def __init__(
        self,
        catalog: TitleCatalog,
        stage: StageMetrics,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._catalog = catalog
        self._stage = stage
        self._clock = clock
        self._say = say
        self._told_at = 0.0
        self.has_begun = False
        self.held_seconds = 0.0
        self.dead_letters = 0

    async def run(self) -> None:
        """Let it be down, then wait until records are worked on again."""
        self.has_begun = True
        before, ends_at = self._innocent_letters(), self._clock.monotonic() + OUTAGE_SECONDS
        self._say(f"The title catalogue goes down now, for {OUTAGE_SECONDS:g} seconds.")
        self._catalog.is_down = True
        while self._clock.monotonic() < ends_at:
            self._look()
            await self._clock.sleep(_LOOK_SECONDS)
        self._catalog.is_down = False
        self._say("The title catalogue is back; the next probe will see it.")
        while self._stage.held_since is not None:
            self._look()
            await self._clock.sleep(_LOOK_SECONDS)
        self.dead_letters = self._innocent_letters() - before
        self._say(
            f"  {self._stage.stage} goes on with its records, which it held for"
            f" {self.held_seconds:.1f} s: {counted(self._stage.probes, 'probe')},"
            f" {counted(self.dead_letters, 'dead letter')} because of the outage."
        )

    def _look(self) -> None:
        """Tell when the hold begins, and now and then while it lasts."""
        since, now = self._stage.held_since, self._clock.monotonic()
        if since is None:
            return
        if not self.held_seconds:
            self._say(
                f"  {self._stage.stage} holds its records, because {self._stage.held_reason}."
                " It is not ready, but alive."
            )
            self._told_at = now
        elif now >= self._told_at + _TELL_SECONDS:
            next_probe = max(0.0, (self._stage.next_probe_at or now) - now)
            in_flight = counted(self._stage.in_flight_records, "record")
            self._say(
                f"  held for {now - since:.1f} s: {in_flight} in flight,"
                f" {counted(self._stage.probes, 'probe')}; the next is in {next_probe:.1f} s"
            )
            self._told_at = now
        self.held_seconds = max(now - since, _LOOK_SECONDS)

    def _innocent_letters(self) -> int:
        letters = self._stage.dead_letters
        return sum(letters.values()) - letters[DeadLetterReason.PERMANENT]
