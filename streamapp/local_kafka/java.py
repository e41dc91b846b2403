"""Finds the Java runtime and Maven."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from streamapp.local_kafka.errors import ToolMissingError

MIN_JAVA_VERSION = 17
"""Oldest Java that runs Kafka 4 brokers (KIP-1013)."""

INSTALL_HINT = "apt-get install openjdk-17-jre-headless maven"

_VERSION_DEADLINE_SECONDS = 30
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def find_java() -> Path:
    """Find `java` in JAVA_HOME, else in PATH.

    Raises:
        ToolMissingError: it is missing, does not run, or is older than Java 17.
    """
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None:
        raise ToolMissingError(
            f"Java was not found; Kafka needs Java {MIN_JAVA_VERSION} or later: {INSTALL_HINT}."
        )
    version = _java_version(found)
    if version is None:
        raise ToolMissingError(
            f"{found} does not run as Java; point JAVA_HOME at Java {MIN_JAVA_VERSION} or later, "
            f"or install it: {INSTALL_HINT}."
        )
    if version < MIN_JAVA_VERSION:
        raise ToolMissingError(
            f"{found} is Java {version}; Kafka needs Java {MIN_JAVA_VERSION} or later: "
            f"{INSTALL_HINT}."
        )
    return Path(found)


def find_maven() -> Path:
    """Find `mvn` in PATH.

    Raises:
        ToolMissingError: it is missing.
    """
    found = shutil.which("mvn")
    if found is None:
        raise ToolMissingError(
            f"Maven was not found; it fetches Kafka's jars the first time: {INSTALL_HINT}."
        )
    return Path(found)


def _java_version(java: str) -> int | None:
    """Major version; `None` if the program does not print a Java version."""
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own Java
            [java, "-version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_DEADLINE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stderr)
    return int(match[1]) if match else None
