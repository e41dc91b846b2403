"""A slot for one worker: the number stays the same when the process is replaced."""

from dataclasses import dataclass
from enum import StrEnum

from streamapp.observability.health import Health
from streamapp.supervisor.process import WorkerProcess
from streamapp.supervisor.restarts import Restarts, how_it_ended

GONE_SECONDS = 60.0
"""For so long it is told that a worker had to be started again."""

SLOW_START_SECONDS = 60.0
"""A worker that is not up after this time is unhealthy."""


MISSED_POLLS = 2
"""A worker at work may answer late once; one that misses so many polls in a row does not answer."""


class SlotState(StrEnum):
    """State of a slot."""

    NOT_STARTED = "not started"  # waits until the first worker is up
    STARTING = "starting"
    UP = "up"
    WAITING = "waiting"  # the process ended and will be started again
    ENDED = "ended"  # will not be started again


@dataclass(slots=True, eq=False)
class Slot:
    """One worker, over all its restarts.

    Attributes:
        number: number of the worker, from 0.
        restarts: counts and decides its restarts.
        state: its state.
        since: monotonic seconds of the last change of state.
        process: its running process, if there is one.
        web_port: port on which that process serves metrics, health and status, once it is up.
        exit_code: exit code of the last process.
        restart_at: monotonic seconds of the next start, while it waits.
        ended_at: monotonic seconds when a process last ended without being asked to.
        answered_at: monotonic seconds when the process last answered a request.
        missed_polls: how many polls in a row it has not answered.
        heard_at: monotonic seconds when the process last showed that its event loop runs.
        is_silent: whether that is too long ago.
    """

    number: int
    restarts: Restarts
    state: SlotState = SlotState.NOT_STARTED
    since: float = 0.0
    process: WorkerProcess | None = None
    web_port: int | None = None
    exit_code: int | None = None
    restart_at: float | None = None
    ended_at: float | None = None
    answered_at: float | None = None
    missed_polls: int = 0
    heard_at: float = 0.0
    is_silent: bool = False

    def set_starting(self, process: WorkerProcess, now: float) -> None:
        """Note that a process was started."""
        self.state, self.since, self.process, self.restart_at = (
            SlotState.STARTING,
            now,
            process,
            None,
        )

    def set_up(self, web_port: int | None, now: float) -> None:
        """Note that the process is up."""
        self.state, self.since, self.web_port = SlotState.UP, now, web_port
        self.heard_at, self.is_silent, self.missed_polls = now, False, 0

    def set_answered(self, now: float) -> None:
        """Note that the process has answered."""
        self.answered_at, self.missed_polls = now, 0

    @property
    def does_not_answer(self) -> bool:
        """Whether its process was up, and one late answer does not explain its silence."""
        return self.state is SlotState.UP and (self.is_silent or self.missed_polls >= MISSED_POLLS)

    def starts_slowly(self, now: float) -> bool:
        """Whether its process is not up although others would be."""
        return self.state is SlotState.STARTING and now - self.since >= SLOW_START_SECONDS

    def set_ended(self, exit_code: int, now: float) -> None:
        """Note that the process has ended."""
        self.state, self.since, self.process = SlotState.ENDED, now, None
        self.answered_at = None
        self.web_port, self.exit_code = None, exit_code

    def set_waiting(self, restart_at: float) -> None:
        """Note when the next process will be started."""
        self.ended_at = self.since
        self.state, self.restart_at = SlotState.WAITING, restart_at

    def is_gone(self, now: float) -> bool:
        """Whether its process has ended and was, or will be, started again a short while ago."""
        return self.ended_at is not None and now - self.ended_at < GONE_SECONDS

    def health(self, now: float) -> Health:
        """Health of the worker, as far as it is known without asking its process."""
        match self.state:
            case SlotState.UP if self.is_silent:
                seconds = now - self.heard_at
                return Health(ok=False, reason=f"has shown no sign of life for {seconds:.0f} s")
            case SlotState.UP:
                return Health(ok=True, reason=f"up for {now - self.since:.0f} s")
            case SlotState.STARTING:
                reason = f"starts for {now - self.since:.0f} s"
                return Health(ok=not self.starts_slowly(now), reason=reason)
            case SlotState.NOT_STARTED:
                return Health(ok=True, reason="waits for the first worker to be up")
        how = how_it_ended(self.exit_code or 0)
        if self.state is SlotState.WAITING:
            left = max(0.0, (self.restart_at or now) - now)
            return Health(ok=False, reason=f"{how}, starts again in {left:.0f} s")
        return Health(ok=not self.exit_code, reason=how)
