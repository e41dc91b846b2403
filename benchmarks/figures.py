"""Figures of a benchmark, stored as JSON beside it with a description of the machine."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

FOLDER = Path(__file__).parent

Figures: TypeAlias = dict[str, float]
"""`median`, `least` and `most` of all runs."""


def spread(values: Sequence[float]) -> Figures:
    """The figures of some runs."""
    return {
        "median": round(median(values), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def cell(figures: object, form: str) -> str:
    """Median, least and most, as a table shows them."""
    if not isinstance(figures, dict):
        return ""
    middle, least, most = (format(figures[key], form) for key in ("median", "least", "most"))
    return f"{middle} ({least} to {most})"


def write(name: str, command: str, machine: Mapping[str, object], **measured: object) -> None:
    """Store the figures of a command with the machine and the options."""
    path = FOLDER / f"{name}.json"
    told = " ".join([command, *sys.argv[1:]])
    kept = {"command": told, "machine": machine, **measured}
    path.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"written: benchmarks/{path.name}; `python -m benchmarks.publish` fills the documents")


def read(name: str) -> dict[str, Any]:
    """The figures that were stored last."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found
