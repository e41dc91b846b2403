from pathlib import Path

import pytest

from streamapp.configuration.state_folder import STATE_VARIABLE, state_folder


def test_state_stands_beside_the_configuration_file(tmp_path: Path) -> None:
    assert state_folder(tmp_path / "config.json", {}) == tmp_path / ".streamapp"


def test_state_of_a_linked_file_stands_beside_that_file(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "config.json")
    assert state_folder(tmp_path / "link.json", {}) == tmp_path / "real" / ".streamapp"


def test_the_environment_chooses_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    assert state_folder(Path("config.json")) == tmp_path / "state"
    monkeypatch.setenv(STATE_VARIABLE, "~/state")
    assert state_folder(Path("config.json")) == Path.home() / "state"


def test_an_empty_variable_chooses_nothing() -> None:
    assert state_folder(Path("config.json"), {STATE_VARIABLE: " "}) == Path.cwd() / ".streamapp"
