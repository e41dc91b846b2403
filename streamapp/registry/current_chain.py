"""Who does the work of an assembled pipeline now, and who has replaced whom, as data."""

from dataclasses import asdict, dataclass
from typing import Any

from streamapp.observability.stage_metrics import ReplacementCause
from streamapp.pipeline.capability import Capability
from streamapp.registry.explanation import Candidate
from streamapp.registry.figures import Score


@dataclass(frozen=True, slots=True)
class Replacement:
    """An agent that was to go from its place while its pipeline ran.

    Attributes:
        pipeline: name of the pipeline.
        stage: name of the stage.
        agent_id: the agent that was to go.
        cause: what was wrong with it.
        by: the agent that has its place now; `None` if no other has come.
        at: when, in seconds since the epoch.
        told: what happened and why, as a sentence.
        candidates: who could have come, the best first, with the reasons for and against.
    """

    pipeline: str
    stage: str
    agent_id: str
    cause: ReplacementCause
    by: str | None
    at: float
    told: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class CurrentStep:
    """A stage of an assembled pipeline as it is now.

    Attributes:
        stage: name of the stage.
        capability: what it wants.
        scores: its agents with their scores; several where they share the work.
    """

    stage: str
    capability: Capability
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class CurrentChain:
    """The agents of an assembled pipeline in one worker.

    Attributes:
        pipeline: name of the pipeline.
        steps: its stages in their order.
        replacements: the latest replacements, and those for which nobody was found.
    """

    pipeline: str
    steps: tuple[CurrentStep, ...]
    replacements: tuple[Replacement, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)
