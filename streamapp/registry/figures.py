"""What makes a score: figures from 0 to 1, each with what is behind it in words."""

import math
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamapp.errors import RegistryError
from streamapp.registry.faults import sentences

UNKNOWN = 0.5
"""What is not known counts as neither good nor bad."""

_LEAST = 1e-6
"""No score is below, so that scores can be multiplied and compared."""

_PARTS = 1_000_000
"""How finely costs are told apart. They are whole numbers, so that sums do not depend on order."""


class Weights(BaseModel):
    """How much each figure counts in a score; their sum is above 0.

    Attributes:
        capability_fit: that an agent offers what is wanted and little else.
        success_rate: the share of its calls that succeed.
        latency: how short its calls are.
        load: how much of its capacity is free.
        availability: that its breaker is closed.

    Raises:
        pydantic.ValidationError: a weight is negative.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    capability_fit: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    success_rate: float = Field(default=3.0, ge=0, allow_inf_nan=False)
    latency: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    load: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    availability: float = Field(default=2.0, ge=0, allow_inf_nan=False)

    @property
    def total(self) -> float:
        """The sum of all."""
        return (
            self.capability_fit + self.success_rate + self.latency + self.load + self.availability
        )


def read_weights(data: Any, where: str = "weights") -> Weights:
    """Read weights from data, such as those of a file.

    Raises:
        RegistryError: one is unknown or negative, or all are 0.
    """
    try:
        weights = Weights.model_validate(data)
    except ValidationError as error:
        faults = "\n".join(sentences(error, Weights, where))
    else:
        if weights.total > 0:
            return weights
        faults = f"{where}: all are 0; at least one has to count"
    raise RegistryError(faults)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of an agent.

    Attributes:
        name: such as `success_rate`.
        value: from 0, bad, to 1, good.
        weight: how much it counts.
        told: what is behind it, such as `98.2 % of 500 calls`.
    """

    name: str
    value: float
    weight: float
    told: str


@dataclass(frozen=True, slots=True)
class Score:
    """How good a choice an agent is, from 0 to 1.

    Attributes:
        agent_id: the agent.
        value: the mean of its figures by their weights.
        figures: what it was made of.
    """

    agent_id: str
    value: float
    figures: tuple[Figure, ...]


def cost_of(value: float) -> int:
    """A score as a whole number to be added: the least sum has the highest product of scores."""
    return round(-math.log(max(value, _LEAST)) * _PARTS)


def score_of(cost: int) -> float:
    """The product of scores whose costs have this sum."""
    return math.exp(-cost / _PARTS)
