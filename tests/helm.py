"""Renders the Helm chart with a real Helm, which `make helm` builds from the Go proxy."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamapp.local_kafka.jars import default_cache_dir

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "streamapp"
KUBERNETES = "1.37.0"  # that of tests/schemas
_MISSING = "The Helm chart is rendered by Helm: make helm"


def rendered(values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The manifests of a release named `orders` with these values."""
    done = helm("template", values, folder)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def refusal(values: dict[str, Any], folder: Path) -> str:
    """What Helm says against these values."""
    done = helm("template", values, folder)
    assert done.returncode != 0
    return done.stderr


def helm(
    command: str, values: dict[str, Any], folder: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of Helm over the chart; it asks no cluster and keeps nothing."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    release = ("orders",) if command == "template" else ()
    arguments = (command, *release, CHART, "--values", file, "--kube-version", KUBERNETES, *options)
    homes = {f"HELM_{kind}_HOME": str(folder) for kind in ("CACHE", "CONFIG", "DATA")}
    return subprocess.run(  # noqa: S603 - arguments of our own
        [_helm(), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **homes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _helm() -> str:
    """Path of Helm; skips without it, and fails where CI=true."""
    [version] = re.findall(
        r"^HELM_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    path = default_cache_dir() / f"helm-{version}" / "helm"
    if not path.exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(_MISSING)
    return str(path)
