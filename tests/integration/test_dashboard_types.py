"""TypeScript checks the dashboards with the types of Grafana, the npm package @grafana/schema."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from streamapp.local_kafka.jars import default_cache_dir
from streamapp.observability.dashboards.catalogue import files

TYPES = Path(__file__).parents[1] / "grafana"
_MISSING = "The dashboards are checked by TypeScript, which needs node and npm: make grafana-types"
FILES = dict(files())


@pytest.fixture
def installed() -> Path:
    """The packages; skips without them, and fails where CI=true."""
    package = json.loads((TYPES / "package.json").read_text())
    version = package["dependencies"]["@grafana/schema"]
    folder = default_cache_dir() / f"grafana-types-{version}" / "node_modules"
    if shutil.which("node") is None or not (folder / "typescript").exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(_MISSING)
    return folder


def said_of(texts: Mapping[str, str], installed: Path, folder: Path) -> str:
    """What TypeScript says against files of dashboards; nothing if their types are right."""
    for file in ("dashboard.ts", "tsconfig.json"):
        shutil.copy(TYPES / file, folder)
    (folder / "node_modules").symlink_to(installed)
    for name, text in texts.items():
        begin = 'import type { Checked } from "./dashboard";\nexport const made: Checked = '
        (folder / f"{name}.ts").write_text(begin + text)
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(  # noqa: S603 - arguments of our own
        ["node", compiler, "--project", folder],  # noqa: S607 - of the PATH, as npm is
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_dashboard_is_of_the_type_that_grafana_declares(
    installed: Path, tmp_path: Path
) -> None:
    assert said_of(FILES, installed, tmp_path) == ""


WRONG = (
    ('"uid":', '"uids":'),  # of the dashboard
    ('"graphTooltip": 1', '"graphTooltip": 7'),
    ('"multi": true', '"multi": "yes"'),  # of a variable
    ('"type": "heatmap"', '"type": "heatmaps"'),  # of a panel
    ('"calcs":', '"calculations":'),  # of its options
    ('"fillOpacity":', '"opacity":'),
    ('"expr":', '"expression":'),  # of a query, and of an annotation
    ('"textFormat":', '"text":'),
)
"""What stands in a dashboard, and what Grafana does not know."""


def test_words_that_grafana_does_not_know_are_found(installed: Path, tmp_path: Path) -> None:
    text = FILES["streamapp-stage.json"]
    assert all(right in text for right, _ in WRONG)
    texts = {f"wrong-{n}": text.replace(*words) for n, words in enumerate(WRONG)}
    found = said_of(texts, installed, tmp_path)
    named = set(re.findall(r"(wrong-\d+)\.ts\(\d+,\d+\): error TS", found))
    assert {n: words for n, words in enumerate(WRONG) if f"wrong-{n}" not in named} == {}
