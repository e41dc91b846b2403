"""Keeps the objects that rules hold for, or drops them."""

from enum import StrEnum
from typing import Any

from streamapp.agents.rules import Condition, Conditions
from streamapp.pipeline.capability import Capability


class Then(StrEnum):
    """What becomes of an object that the condition holds for; the others get the opposite."""

    KEEP = "keep"
    DROP = "drop"


class FilterConfiguration(Condition):
    """Configuration of a `Filter`.

    Attributes:
        then: whether what the condition holds for is kept or dropped.
    """

    then: Then = Then.KEEP


class Filter:
    """Keeps the objects that rules hold for, or drops them.

    Raises:
        Permanent: what a rule asks for cannot be compared.
    """

    capabilities = (Capability.STREAM_PROCESSING,)
    Configuration = FilterConfiguration

    def __init__(self, configuration: FilterConfiguration) -> None:
        self._conditions = Conditions(configuration)
        self._keeps = configuration.then is Then.KEEP

    def __call__(self, value: dict[str, Any]) -> dict[str, Any] | None:
        """The object, or nothing."""
        return value if self._conditions.hold(value) is self._keeps else None
