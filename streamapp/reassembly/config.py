"""How the agents of assembled pipelines are measured and replaced while they run."""

from dataclasses import dataclass
from typing import Protocol

from streamapp.registry.score_file import ScoreFile


class Refresh(Protocol):
    """Brings a registry up to date, such as with a file that somebody has changed."""

    async def __call__(self) -> None:
        """Do it; what fails is told, and leaves the registry as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reassembly:
    """How agents are measured and replaced; times are in seconds.

    Attributes:
        open_seconds: an agent whose breaker has not been closed for so long is replaced; `None`:
            no agent is for that reason.
        avoid_seconds: for so long, such an agent takes no place again.
        check_seconds: time between two looks at counters, breakers and the registry.
        save_seconds: least time between two writes of the file of scores.
        score_file: where scores outlast this process; `None`: nowhere.
        refresh: called before each look at the registry, to bring it up to date; `None`: nothing.

    Raises:
        ValueError: a time is not above 0.
    """

    open_seconds: float | None = 60.0
    avoid_seconds: float = 600.0
    check_seconds: float = 5.0
    save_seconds: float = 10.0
    score_file: ScoreFile | None = None
    refresh: Refresh | None = None

    def __post_init__(self) -> None:
        for name in ("open_seconds", "avoid_seconds", "check_seconds", "save_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"reassembly: {name} must be above 0, not {value!r}")
