"""Faults of what a file declares, with the place where it is declared."""

from streamapp.configuration.secrets import Path
from streamapp.errors import ConfigurationError


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
