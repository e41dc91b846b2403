"""Figures of a benchmark, kept as JSON beside it, with what they were measured on."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from benchmarks.testbed import machine

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


def write(name: str, command: str, measured: dict[str, Any]) -> Path:
    """Keep what a command measured."""
    path = FOLDER / f"{name}.json"
    described = {"command": command, "machine": machine(), **measured}
    path.write_text(json.dumps(described, indent=2) + "\n")
    return path


def read(name: str) -> dict[str, Any]:
    """What was kept last."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found
