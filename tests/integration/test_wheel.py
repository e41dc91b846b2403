"""What is installed of this package: the page needs more than Python files."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.cli import ROOT


def test_a_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "streamapp", source / "streamapp", ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--wheel-dir", tmp_path, source],
        check=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    files = [one for one in (source / "streamapp").rglob("*") if one.is_file()]
    assert {str(one.relative_to(source)) for one in files} <= packed
    assert any(name.endswith("templates/page.html") for name in packed)
