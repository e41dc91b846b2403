"""The place of one worker: its number stays, its processes come and go."""

from dataclasses import dataclass
from enum import StrEnum

from streamapp.observability.health import Health
from streamapp.supervisor.process import WorkerProcess
from streamapp.supervisor.restarts import Restarts, how_it_ended

SLOW_START_SECONDS = 60.0
"""A worker that is not up by then is not well."""


class SlotState(StrEnum):
    """What a worker's place is doing."""

    NOT_STARTED = "not started"  # the first worker goes ahead
    STARTING = "starting"
    UP = "up"
    WAITING = "waiting"  # ended, and is started again
    ENDED = "ended"  # for good


@dataclass(slots=True, eq=False)
class Slot:
    """One worker.

    Attributes:
        number: from 0, the same over restarts.
        restarts: the ends so far.
        state: what it does.
        since: monotonic seconds of the last change of state.
        process: the process that runs, if one does.
        web_port: where that one serves metrics, health and status, once it is up.
        exit_code: of the last process.
        again_at: monotonic seconds of the next start, while it waits.
    """

    number: int
    restarts: Restarts
    state: SlotState = SlotState.NOT_STARTED
    since: float = 0.0
    process: WorkerProcess | None = None
    web_port: int | None = None
    exit_code: int | None = None
    again_at: float | None = None

    def began(self, process: WorkerProcess, now: float) -> None:
        """A process was started."""
        self.state, self.since, self.process, self.again_at = SlotState.STARTING, now, process, None

    def is_up(self, web_port: int | None, now: float) -> None:
        """The process got to work."""
        self.state, self.since, self.web_port = SlotState.UP, now, web_port

    def ended(self, exit_code: int, now: float) -> None:
        """The process is gone."""
        self.state, self.since, self.process = SlotState.ENDED, now, None
        self.web_port, self.exit_code = None, exit_code

    def waits(self, again_at: float) -> None:
        """Another process comes then."""
        self.state, self.again_at = SlotState.WAITING, again_at

    def health(self, now: float) -> Health:
        """How it is, as far as that is known without asking its process."""
        match self.state:
            case SlotState.UP:
                return Health(ok=True, reason=f"up for {now - self.since:.0f} s")
            case SlotState.STARTING:
                seconds = now - self.since
                return Health(ok=seconds < SLOW_START_SECONDS, reason=f"starts for {seconds:.0f} s")
            case SlotState.NOT_STARTED:
                return Health(ok=True, reason="waits for the first worker to be up")
        how = how_it_ended(self.exit_code or 0)
        if self.state is SlotState.WAITING:
            left = max(0.0, (self.again_at or now) - now)
            return Health(ok=False, reason=f"{how}, starts again in {left:.0f} s")
        return Health(ok=not self.exit_code, reason=how)
