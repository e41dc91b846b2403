"""Kafka's jars, which Maven fetches once into the user's cache."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from streamapp.local_kafka.errors import FolderError, JarsError
from streamapp.local_kafka.java import find_maven
from streamapp.local_kafka.lock import locked_folder

KAFKA_VERSION = "4.4.0"

CACHE_VARIABLE = "STREAMAPP_CACHE_DIR"
"""Environment variable with the cache folder; by default `~/.cache/streamapp`."""

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

_FETCH_DEADLINE_SECONDS = 900

# The version of slf4j-simple must match the slf4j-api that Kafka depends on.
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamapp</groupId>
  <artifactId>dev-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def default_cache_dir() -> Path:
    """The cache folder of a user: from the environment, else from XDG, else ~/.cache."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "streamapp"


def jars_folder(cache_dir: Path) -> Path:
    """Folder of the jars in a cache; it exists only if it is complete."""
    return cache_dir / f"kafka-{KAFKA_VERSION}"


def resolve_jars(cache_dir: Path, report: Callable[[str], None]) -> Path:
    """Folder with the jars; fetches them if the cache does not have them.

    Of several processes at the same time, one fetches and the others wait for it.

    Args:
        cache_dir: cache of the user; created if it is missing.
        report: called with a sentence before a fetch, which takes long.

    Raises:
        ToolMissingError: the jars and Maven are missing.
        JarsError: Maven failed.
        FolderError: the cache cannot be written.
    """
    jars = jars_folder(cache_dir)
    if jars.is_dir():
        return jars
    maven = find_maven()
    try:
        with locked_folder(cache_dir):
            if not jars.is_dir():
                report(f"Fetching Kafka {KAFKA_VERSION} with Maven into {jars} (43 MB, once) ...")
                _fetch(maven, jars)
    except OSError as error:
        raise FolderError(
            f"Cannot keep Kafka's jars in {cache_dir}: {error.strerror}. "
            f"Choose another folder with --cache-dir or {CACHE_VARIABLE}."
        ) from error
    return jars


def _fetch(maven: Path, jars: Path) -> None:
    partial = jars.with_name(jars.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
    partial.mkdir()
    try:
        pom = partial / "pom.xml"
        pom.write_text(_POM)
        _run_maven(maven, pom, partial)
        partial.rename(jars)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run_maven(maven: Path, pom: Path, output: Path) -> None:
    command = [
        *(str(maven), "--quiet", "--batch-mode", "--file", str(pom)),
        *(f"{_PLUGIN}:copy-dependencies", f"-DoutputDirectory={output}"),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - Maven on a pom of ours
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_DEADLINE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise JarsError(
            f"Maven did not fetch Kafka {KAFKA_VERSION} within {_FETCH_DEADLINE_SECONDS} s; "
            "check the network and try again."
        ) from error
    if done.returncode != 0 or not any(output.glob("kafka_*.jar")):
        raise JarsError(
            f"Maven could not fetch Kafka {KAFKA_VERSION}: {first_maven_error(done.stdout)}. "
            "Check the network and Maven's settings.xml, then try again."
        )


def first_maven_error(output: str) -> str:
    """The reason in Maven's output, which it writes to stdout after `[ERROR]`."""
    for line in output.splitlines():
        if "[ERROR]" in line:
            text = re.sub(r"\x1b\[[0-9;]*m", "", line).replace("[ERROR]", "").strip()
            return text.split(" -> [Help", 1)[0].rstrip(" .")
    return "Maven gave no reason"
