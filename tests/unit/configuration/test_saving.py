import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.configuration.file import read_configuration
from streamapp.configuration.saving import save_configuration
from streamapp.errors import ConfigurationError

OLD = '{"x-note": [1, {"b": 1, "a": 2.50}], "cli_settings": {"auto_save": true}, "$schema": "s"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(OLD)
    return path


def save(path: Path, **changes: Any) -> None:
    read = read_configuration(path, {"STREAMAPP_CLI_SETTINGS_LOG_LEVEL": "DEBUG"})
    save_configuration(read, {**read.document.data, **changes})


def test_saving_keeps_what_it_does_not_know_and_the_order_of_keys(path: Path) -> None:
    save(path, data_agents={}, cli_settings={"auto_save": False})
    expected = {**json.loads(OLD), "cli_settings": {"auto_save": False}, "data_agents": {}}
    assert json.dumps(json.loads(path.read_text())) == json.dumps(expected)


def test_what_the_environment_overrides_is_not_saved(path: Path) -> None:
    save(path)
    assert "DEBUG" not in path.read_text()


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])).map("x-".__add__),
        st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_what_is_saved_is_read_again(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("saved") / "config.json"
    path.write_text("{}")
    saved = save_configuration(read_configuration(path, {}), data)
    again = read_configuration(path, {})
    assert json.dumps(again.document.data) == json.dumps(data)
    assert again.digest == saved.digest


def test_a_missing_file_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_configuration(read_configuration(environment={}), {"cli_settings": {}})
    assert json.loads(Path("atomic_data_config.json").read_text()) == {"cli_settings": {}}


def test_data_that_are_no_configuration_are_not_saved(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such section"):
        save(path, data_agent={})
    assert path.read_text() == OLD


def test_what_somebody_else_has_changed_is_not_overwritten(path: Path) -> None:
    read = read_configuration(path, {})
    path.write_text("{}")
    with pytest.raises(ConfigurationError, match="somebody has changed the file"):
        save_configuration(read, read.document.data)
    assert path.read_text() == "{}"


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ConfigurationError, match="cannot be saved: No space"):
        save(path, data_agents={})
    assert path.read_text() == OLD
    assert list(path.parent.iterdir()) == [path]


def test_the_new_content_is_on_the_disk_before_it_has_the_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, str]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append((stat.S_IFMT(os.fstat(descriptor).st_mode), path.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    save(path, data_agents={})
    assert synced == [(stat.S_IFREG, OLD), (stat.S_IFDIR, path.read_text())]


def test_permissions_and_links_stay(path: Path) -> None:
    path.chmod(0o640)
    link = path.parent / "link.json"
    link.symlink_to(path.name)
    save(link, data_agents={})
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert "data_agents" in json.loads(path.read_text())


def test_of_several_that_save_at_once_none_undoes_what_another_saved(path: Path) -> None:
    def add(name: str) -> None:
        while True:
            read = read_configuration(path, {})
            try:
                save_configuration(read, {**read.document.data, name: 1})
            except ConfigurationError:
                continue
            return

    names = [f"x-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, names))
    assert set(json.loads(path.read_text())) == {*json.loads(OLD), *names}
    assert list(path.parent.iterdir()) == [path]
