"""What `streamapp doctor` finds without a Kafka."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from streamapp.cli import diagnosis
from streamapp.cli.diagnosis import Check, diagnose
from streamapp.native_leaves import SELECTED


def checks(state: Path) -> dict[str, Check]:
    return {one.what: one for one in diagnose(None, (), "127.0.0.1:1", state)}


def test_a_kafka_that_is_not_there_is_wrong_and_the_rest_is_told(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert {what: one.ok for what, one in found.items()} == {
        "versions": True,
        "state folder": True,
        "settings": True,
        "kafka": False,
    }
    assert found["kafka"].fix
    assert SELECTED.sentence in found["versions"].told


def test_an_extra_that_is_not_installed_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_faust(name: str) -> str:
        if name.startswith("faust"):
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(diagnosis, "version", without_faust)
    found = checks(tmp_path)
    assert "faust-streaming not installed" in found["versions"].told
