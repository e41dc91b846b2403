"""What the development broker needs from the machine, and how it says that it is not there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamapp.local_kafka.broker import DevBroker
from streamapp.local_kafka.errors import FolderError, JarsError, ToolMissingError
from streamapp.local_kafka.jars import jars_folder, resolve_jars
from streamapp.local_kafka.java import find_java, find_maven

INSTALL = "apt-get install openjdk-17-jre-headless maven"

MAVEN = """\
for word; do
    case "$word" in
        -DoutputDirectory=*) : >"${word#*=}/kafka_2.13.jar" ;;
    esac
done"""
"""Stands in for a Maven that copies one jar."""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def put_program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.usefixtures("programs")
def test_without_java_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match=INSTALL):
        DevBroker(tmp_path / "broker").up()
    assert not (tmp_path / "broker").exists()


@pytest.mark.usefixtures("programs")
def test_without_maven_it_says_what_to_install() -> None:
    with pytest.raises(ToolMissingError, match=INSTALL):
        find_maven()


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.22"])
def test_a_java_that_is_too_old_is_refused(programs: Path, version: str) -> None:
    put_program(programs, "java", f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(ToolMissingError, match="Kafka needs Java 17 or later"):
        find_java()


def test_a_java_that_does_not_run_is_refused(programs: Path) -> None:
    put_program(programs, "java", "echo 'No Java runtime present' >&2; exit 1")
    with pytest.raises(ToolMissingError, match="does not run as Java"):
        find_java()


def test_the_java_of_java_home_goes_first(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(programs, "java", "echo 'openjdk version \"11\"' >&2")
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    put_program(home / "bin", "java", "echo 'openjdk version \"21.0.1\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert find_java() == home / "bin" / "java"


@pytest.mark.kafka
def test_maven_without_a_network_says_why_and_leaves_no_half_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = [f"-D{way}.proxyHost=127.0.0.1 -D{way}.proxyPort=9" for way in ("http", "https")]
    empty = f"-Dmaven.repo.local={tmp_path / 'repository'}"
    monkeypatch.setenv("MAVEN_OPTS", " ".join([empty, *proxy]))
    cache = tmp_path / "cache"
    with pytest.raises(JarsError, match=r"Maven could not fetch Kafka .*maven-dependency-plugin"):
        resolve_jars(cache, lambda _: None)
    assert list(cache.iterdir()) == []


def test_processes_that_come_together_fetch_the_jars_once(programs: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    put_program(programs, "mvn", f'echo call >>"{calls}"\n{MAVEN}')
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: resolve_jars(cache, lambda _: None), range(4)))
    assert set(found) == {jars_folder(cache)}
    assert calls.read_text().splitlines() == ["call"]
    assert [path.name for path in cache.iterdir()] == [jars_folder(cache).name]


def test_what_a_killed_fetch_left_is_not_taken_for_the_jars(programs: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    partial = jars_folder(cache).with_name(jars_folder(cache).name + ".partial")
    partial.mkdir(parents=True)
    (partial / "half.jar").touch()
    put_program(programs, "mvn", MAVEN)
    jars = resolve_jars(cache, lambda _: None)
    assert not (jars / "half.jar").exists()
    assert not partial.exists()


def test_a_cache_that_cannot_be_written_is_told(programs: Path, tmp_path: Path) -> None:
    put_program(programs, "mvn", MAVEN)
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="--cache-dir"):
        resolve_jars(tmp_path / "file" / "cache", lambda _: None)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="--dir"):
        DevBroker(tmp_path / "file" / "broker").up()
