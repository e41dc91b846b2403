"""What the agents of a stage have used of language models."""

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Which way tokens went."""

    INPUT = "input"  # to the model
    OUTPUT = "output"  # from it


class AtFault(StrEnum):
    """Who was at fault when a call of a model failed."""

    RECORD = "record"  # no output that fits, or an input that is refused
    WORLD = "world"  # the provider, or the way to it


@dataclass(slots=True)
class ModelUsage:
    """What an agent has used of its model since it was made.

    Attributes:
        calls: calls of the agent that were passed to the model.
        requests: requests that were answered; more than calls where outputs were corrected.
        input_tokens, output_tokens: tokens as the provider counts them.
        refused: calls that ended without an output that fits, or were refused for their input.
        outages: calls that failed through the provider or the way to it.
    """

    calls: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    refused: int = 0
    outages: int = 0

    @property
    def tokens(self) -> dict[Direction, int]:
        """Tokens by direction."""
        return {Direction.INPUT: self.input_tokens, Direction.OUTPUT: self.output_tokens}

    @property
    def failures(self) -> dict[AtFault, int]:
        """Failed calls by who was at fault."""
        return {AtFault.RECORD: self.refused, AtFault.WORLD: self.outages}
