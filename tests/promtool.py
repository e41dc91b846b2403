"""Prometheus' own checker."""

import subprocess
from pathlib import Path

from tests.prometheus import require_tool


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a folder."""
    return subprocess.run(  # noqa: S603 - Prometheus' own checker
        [require_tool("promtool"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
