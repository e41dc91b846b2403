"""Faults of what a file declares, with the place where it is declared."""

from collections.abc import Sequence

from streamapp.configuration.secrets import Path
from streamapp.errors import AgentConfigurationError, ConfigurationError


class PlacedError(ConfigurationError):
    """Something that is declared cannot be made.

    Attributes:
        path: where it is declared.
        others: further faults that were found with it.
    """

    def __init__(self, path: Path, message: str, *others: "PlacedError") -> None:
        super().__init__(message)
        self.path = path
        self.others = others

    @classmethod
    def of_all(cls, faults: "Sequence[PlacedError]") -> "PlacedError":
        """The first of several faults, with the others; at least one."""
        every = [one for fault in faults for one in (fault, *fault.others)]
        return cls(every[0].path, str(every[0]), *every[1:])


def shown(path: Path) -> str:
    """A path as people write it."""
    parts = (f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)
    return "".join(parts).lstrip(".")


def agent_faults(where: Path, error: ConfigurationError) -> list[tuple[Path, str]]:
    """What is wrong with an agent that is defined there: each fault with its own place."""
    if not isinstance(error, AgentConfigurationError):
        return [(where, f"{shown(where)}: {error}")]
    places = [((*where, "configuration", *place), told) for place, told in error.faults]
    return [(place, f"{shown(place)}: {told}") for place, told in places]
