"""What to know of a configuration file that is no fault."""

from dataclasses import dataclass, field

from streamapp.configuration.secrets import Path

PlacedWarning = tuple[Path, str]
"""Where something stands that is no fault, and a sentence about it."""


@dataclass(slots=True)
class Warnings:
    """Warnings, as they are found.

    Attributes:
        placed: those about something that stands in the file: where, and a sentence.
        general: sentences about others, such as what the machine has too little of.
    """

    placed: list[PlacedWarning] = field(default_factory=list)
    general: list[str] = field(default_factory=list)
