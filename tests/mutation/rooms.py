"""What is mutated, and how many of its mutants the tests have to notice."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STRICT = 0.9
USUAL = 0.8

_NOT_MUTATED = {
    "streamapp/observability/definitions.py",  # texts of a table
    "streamapp/observability/stage_definitions.py",  # the same
    "streamapp/observability/dashboards/overview.py",  # a dashboard as data
    "streamapp/observability/dashboards/pipeline.py",  # a dashboard as data
    "streamapp/observability/dashboards/stage.py",  # a dashboard as data
    "streamapp/observability/dashboards/stage_agents.py",  # a dashboard as data
    "streamapp/observability/dashboards/dead_letters.py",  # a dashboard as data
    "streamapp/observability/dashboards/process.py",  # a dashboard as data
    "streamapp/observability/alerts/from_causes.py",  # rules as data
    "streamapp/observability/alerts/from_metrics.py",  # rules as data
    "streamapp/observability/alerts/recorded.py",  # rules as data
    "streamapp/observability/alerts/cause_notes.py",  # rules as data
}


@dataclass(frozen=True, slots=True)
class Room:
    """A part of the package with one score.

    Attributes:
        name: of the part.
        paths: files and folders from the root; a file belongs to the first room that names it.
        bound: least share of its mutants that have to be found.
        tests: folders and files whose tests are about it; they are tried first.
    """

    name: str
    paths: tuple[str, ...]
    bound: float
    tests: tuple[str, ...]

    @property
    def is_critical(self) -> bool:
        return self.bound >= STRICT

    def files(self) -> list[str]:
        """Its source files from the root, in order."""
        taken = {file for room in ROOMS[: ROOMS.index(self)] for file in room.files()}
        found = [
            str(file.relative_to(ROOT))
            for path in self.paths
            for file in sorted(
                (ROOT / path).rglob("*.py") if (ROOT / path).is_dir() else [ROOT / path]
            )
        ]
        return [file for file in found if file not in taken | _NOT_MUTATED]


ROOMS = (
    Room("policies", ("streamapp/policies",), STRICT, ("tests/unit/policies",)),
    Room(
        "frontier",
        ("streamapp/runtime/frontier.py",),
        STRICT,
        ("tests/unit/runtime/test_frontier.py",),
    ),
    Room(
        "commit_metadata",
        ("streamapp/runtime/commit_metadata.py",),
        STRICT,
        ("tests/unit/runtime/test_commit_metadata.py",),
    ),
    Room("plan", ("streamapp/topics/plan.py",), STRICT, ("tests/unit/topics/test_plan.py",)),
    Room(
        "health",
        ("streamapp/observability/health.py",),
        STRICT,
        ("tests/unit/observability/test_health.py",),
    ),
    Room("topics", ("streamapp/topics",), USUAL, ("tests/unit/topics",)),
    Room("letters", ("streamapp/letters",), USUAL, ("tests/unit/letters",)),
    Room("observability", ("streamapp/observability",), USUAL, ("tests/unit/observability",)),
    Room("supervisor", ("streamapp/supervisor",), USUAL, ("tests/unit/supervisor",)),
    Room("pipeline", ("streamapp/pipeline",), USUAL, ("tests/unit/pipeline",)),
    Room(
        "serialisation",
        (
            "streamapp/serialisation.py",
            "streamapp/plain_json.py",
            "streamapp/checked_json.py",
            "streamapp/exact_numbers.py",
            "streamapp/immutable.py",
        ),
        USUAL,
        (
            "tests/unit/test_serialisation.py",
            "tests/unit/test_plain_json.py",
            "tests/unit/test_exact_json.py",
            "tests/unit/test_immutable.py",
        ),
    ),
    Room("registry", ("streamapp/registry",), USUAL, ("tests/unit/registry",)),
    Room("agents", ("streamapp/agents",), USUAL, ("tests/unit/agents",)),
    Room("configuration", ("streamapp/configuration",), USUAL, ("tests/unit/configuration",)),
    Room("runtime", ("streamapp/runtime",), USUAL, ("tests/unit/runtime",)),
)
