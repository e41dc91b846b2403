"""`streamapp dashboards`."""

import re
from pathlib import Path

import pytest

from streamapp.errors import ConfigurationError
from streamapp.observability.dashboards.catalogue import files
from tests.unit.cli.commands import run

pytestmark = pytest.mark.usefixtures("folder")


def test_export_writes_every_dashboard_and_says_where() -> None:
    said = run("dashboards export --folder grafana/own").stdout.split()
    written = {file.name: file.read_text() for file in Path("grafana/own").iterdir()}
    assert written == dict(files())
    assert said == [f"grafana/own/{name}" for name, _ in files()]


def test_export_replaces_what_an_earlier_version_has_written() -> None:
    run("dashboards export")
    for file in Path("dashboards").iterdir():
        file.write_text("{}")
    run("dashboards export")
    assert {file.name: file.read_text() for file in Path("dashboards").iterdir()} == dict(files())


def test_a_folder_that_cannot_be_made_is_told_in_one_sentence() -> None:
    Path("taken").write_text("")
    result = run("dashboards export --folder taken")
    assert isinstance(result.exception, ConfigurationError)
    assert re.search(
        r"cannot be written to taken: .*give a folder with --folder", str(result.exception)
    )


def test_every_dashboard_is_listed_with_its_question() -> None:
    listed = run("dashboards list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [
        name.removesuffix(".json") for name, _ in files()
    ]
    assert all(line.endswith("?") for line in listed)
