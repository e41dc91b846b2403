"""The state of a local Kafka, stored in its folder as broker.json."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from streamapp.local_kafka.config import CLIENT_LISTENER, BrokerOptions
from streamapp.local_kafka.ports import HOST

_NAME = "broker.json"


class NodeState(BaseModel):
    """The ports of one node: of each listener by name, and of its controller."""

    model_config = ConfigDict(frozen=True)

    node_id: int
    listener_ports: dict[str, int]
    controller_port: int


class BrokerState(BaseModel):
    """A broker as it was last started, running or not.

    Attributes:
        kafka_version: version of the jars.
        started_at: seconds since the epoch.
        options: the user's options.
        nodes: the nodes in the order of their ids.
    """

    model_config = ConfigDict(frozen=True)

    kafka_version: str
    started_at: float
    options: BrokerOptions
    nodes: tuple[NodeState, ...]

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the plain listener, in the form that clients expect."""
        return self.addresses(CLIENT_LISTENER)

    def addresses(self, listener: str) -> str:
        """Addresses of a listener, in the form that clients expect."""
        return ",".join(f"{HOST}:{node.listener_ports[listener]}" for node in self.nodes)

    def write(self, folder: Path) -> None:
        """Write it into the folder, atomically."""
        partial = folder / f"{_NAME}.partial"
        partial.write_text(self.model_dump_json(indent=2) + "\n")
        partial.replace(folder / _NAME)


def read_state(folder: Path) -> BrokerState | None:
    """The state in the folder; `None` if there is none or it cannot be read."""
    try:
        return BrokerState.model_validate_json((folder / _NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def remove_state(folder: Path) -> None:
    """Remove the state from the folder."""
    (folder / _NAME).unlink(missing_ok=True)
    (folder / f"{_NAME}.partial").unlink(missing_ok=True)
