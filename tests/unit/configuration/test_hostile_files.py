import json
import os
import sys
from pathlib import Path

import pytest

from streamapp.configuration import located_json
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import read_configuration
from streamapp.configuration.lint import lint
from streamapp.errors import ConfigurationError
from tests.unit.configuration.hostile import AGENT, HOSTILE, IMPORTS, KEY, pipeline


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_one_sentence_and_left_as_it_is(
    tmp_path: Path, name: str
) -> None:
    content, expected = HOSTILE[name]
    path = tmp_path / "config.json"
    path.write_bytes(content)
    loaded = set(sys.modules)

    with pytest.raises(ConfigurationError) as refused:
        read_configuration(path, {})

    told = str(refused.value)
    assert expected in told
    assert told.startswith(f"{path}:")
    assert "\n" not in told
    assert len(told) < len(str(path)) + 420
    assert told.isprintable()
    assert KEY not in told
    assert path.read_bytes() == content
    assert set(sys.modules) == loaded


@pytest.mark.parametrize("name", IMPORTS)
def test_a_file_that_names_other_code_is_read_and_the_code_never_imported(
    tmp_path: Path, name: str
) -> None:
    content = pipeline([{"agent": "code"}, {"agent": "once"}], code={**AGENT, **IMPORTS[name]})
    path = tmp_path / "config.json"
    path.write_bytes(content)
    read = read_configuration(path, {})
    with pytest.raises(ConfigurationError) as refused:
        lint(read, makes=False)
    told = str(refused.value)
    assert told.startswith(f"{path}:1:")
    assert "is in no allowed package; if you trust it, start with --allow-package" in told
    assert "\n" not in told
    for use in (lambda: lint(read), lambda: assemble_declared(read.configuration, "orders")):
        with pytest.raises(ConfigurationError, match="is in no allowed package; if you trust it"):
            use()
    assert not {"this", "antigravity"} & set(sys.modules)


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigurationError, match="is no regular file"):
            read_configuration(path, {})


def test_a_named_file_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file"):
        read_configuration(tmp_path / "missing.json", {})


def test_a_link_that_leads_nowhere_is_not_taken_for_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("atomic_data_config.json").symlink_to("moved.json")
    with pytest.raises(ConfigurationError, match="there is no file"):
        read_configuration(environment={})


def test_a_name_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_configuration(Path("a\0b"), {})


def test_of_very_many_faults_some_are_told(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({f"unknown-{number}": 0 for number in range(100_000)}))
    with pytest.raises(ConfigurationError) as refused:
        read_configuration(path, {})
    assert len(str(refused.value).splitlines()) == 50


def test_a_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(located_json, "MOST_BYTES", 1024**2)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"x-a": "a" * (1024**2 - 11)}))
    read_configuration(path, {})
    path.write_text(json.dumps({"x-a": "a" * (1024**2 - 10)}))
    with pytest.raises(ConfigurationError, match=r":1:1: the file is larger than 1 MiB"):
        read_configuration(path, {})


def test_a_file_of_very_many_values_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(located_json, "MOST_VALUES", 1000)
    path = tmp_path / "config.json"
    most = {"x-a": [*[0] * 992, 'a,[{\\",', {}, [], [{"b": 0}]]}
    path.write_text(json.dumps(most))
    read_configuration(path, {})
    path.write_text(json.dumps({"x-a": [0, *most["x-a"]]}))
    with pytest.raises(ConfigurationError, match=r":1:1: the file has more than 1,000 values"):
        read_configuration(path, {})
