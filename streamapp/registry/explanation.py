"""Why a chain was assembled as it was, as data that a command prints."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from streamapp.errors import RegistryError
from streamapp.pipeline.capability import Capability
from streamapp.registry.figures import Score


class Outcome(StrEnum):
    """What became of a candidate."""

    CHOSEN = "chosen"  # it is in the chain
    POSSIBLE = "possible"  # there are chains with it, and the chosen one is better
    REJECTED = "rejected"  # there is no chain with it


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that offers what a step wants.

    Attributes:
        agent_id: the agent.
        outcome: what became of it.
        reason: why, as a sentence.
        score: its score, with the figures.
        notes: what to know of a fit, such as validators that the check does not see.
    """

    agent_id: str
    outcome: Outcome
    reason: str
    score: Score
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepExplanation:
    """A step with its candidates.

    Attributes:
        number: from 1.
        capability: what it wants.
        candidates: all agents that offer it: the chosen one, then the others by their score.
    """

    number: int
    capability: Capability
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a chain was assembled, or why there is none.

    Attributes:
        chain: ids of the chosen agents; empty if there is no chain.
        steps: the steps with their candidates.
        failed_step: number of the first step at which no chain goes on; `None` if there is one.
        reason: why there is no chain; empty if there is one.
    """

    chain: tuple[str, ...]
    steps: tuple[StepExplanation, ...]
    failed_step: int | None = None
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)


class AssemblyError(RegistryError):
    """There is no chain of agents that does what is asked for.

    Attributes:
        explanation: every candidate with the reason why it is in no chain.
    """

    def __init__(self, message: str, *, explanation: Explanation) -> None:
        super().__init__(message)
        self.explanation = explanation
