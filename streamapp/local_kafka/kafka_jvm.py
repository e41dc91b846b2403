"""Command lines of Kafka's own programs, and the formatting of a node's storage."""

import base64
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamapp.local_kafka.errors import StartError
from streamapp.local_kafka.node import Node

_FORMAT_DEADLINE_SECONDS = 60

# A local Kafka runs for minutes on a small machine: a quick start matters more than fast code after
# an hour.
_QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")

_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
)


@dataclass(frozen=True, slots=True)
class KafkaJvm:
    """Java with Kafka's jars.

    Attributes:
        java: path of `java`.
        jars: folder of the jars.
        heap_mb: largest heap of the broker, in MiB.
    """

    java: Path
    jars: Path
    heap_mb: int

    def broker_command(self, node: Node) -> list[str]:
        """The command that runs a node in the foreground."""
        return [
            *(str(self.java), f"-Xmx{self.heap_mb}m", *_QUICK_START, *_LOGGING),
            *("-cp", f"{self.jars}/*", "kafka.Kafka", str(node.properties_file)),
        ]

    def format_storage(self, node: Node, cluster_id: str, scram_users: Mapping[str, str]) -> None:
        """Format the data folder of a new node; `scram_users` are passwords by name.

        Raises:
            StartError: Kafka's storage tool failed, for example because of an unknown property.
        """
        command = [
            *(str(self.java), *_QUICK_START, "-cp", f"{self.jars}/*"),
            *("kafka.tools.StorageTool", "format", "--cluster-id", cluster_id),
            *("--config", str(node.properties_file)),
        ]
        for name, password in scram_users.items():
            command += ["--add-scram", f"SCRAM-SHA-256=[name={name},password={password}]"]
        try:
            done = subprocess.run(  # noqa: S603 - Kafka's own tool
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_FORMAT_DEADLINE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StartError(
                f"Kafka did not format its storage within {_FORMAT_DEADLINE_SECONDS} s.", log=""
            ) from error
        if done.returncode != 0:
            raise StartError("Kafka refused its configuration.", log=done.stdout + done.stderr)


def new_cluster_id() -> str:
    """A cluster id as Kafka writes it: a UUID in 22 characters of URL-safe base64.

    Like Kafka's own ids (org.apache.kafka.common.Uuid) it does not start with a dash, which the
    storage tool would take for an option.
    """
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def read_cluster_id(node: Node) -> str | None:
    """Cluster id of a node; `None` if its storage is not formatted yet."""
    try:
        lines = (node.data_dir / "meta.properties").read_text().splitlines()
    except FileNotFoundError:
        return None
    return next((line[11:] for line in lines if line.startswith("cluster.id=")), None)
