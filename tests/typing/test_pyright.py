"""What pyright says of the same files as mypy: its users get the same answers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.typing.test_typing import MISMATCH, MISMATCHES, WRONG_COMBINATIONS, WRONG_LINES

ROOT = Path(__file__).parents[2]
FILES = (
    "shapes.py",
    "batches.py",
    "combined.py",
    "executions.py",
    "runs.py",
    "several_sources.py",
)


def errors(folder: Path, *files: Path) -> list[dict[str, Any]]:
    """The errors that pyright finds in these files."""
    config = {
        "include": [str(file) for file in files],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "standard",
        "pythonVersion": "3.11",
    }
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(config))
    command = [sys.executable, "-m", "basedpyright", "--project", str(project), "--outputjson"]
    command += ["--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= len(files), done.stdout
    return [one for one in report["generalDiagnostics"] if one["severity"] == "error"]


def lines_with_errors(folder: Path, program: str) -> set[int]:
    snippet = folder / "snippet.py"
    snippet.write_text(program)
    return {one["range"]["start"]["line"] + 1 for one in errors(folder, snippet)}


def test_pyright_takes_every_shape_and_combination(tmp_path: Path) -> None:
    assert errors(tmp_path, *(Path(__file__).parent / name for name in FILES)) == []


def test_pyright_names_each_mismatch_at_its_line(tmp_path: Path) -> None:
    assert lines_with_errors(tmp_path, MISMATCH) == MISMATCHES


def test_pyright_names_each_wrong_combination_at_its_line(tmp_path: Path) -> None:
    assert lines_with_errors(tmp_path, WRONG_COMBINATIONS) == WRONG_LINES
