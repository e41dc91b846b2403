"""All nodes of a local Kafka."""

from collections.abc import Sequence
from pathlib import Path

from streamapp.local_kafka.config import NodeConfig, server_properties
from streamapp.local_kafka.kafka_jvm import KafkaJvm, new_cluster_id, read_cluster_id
from streamapp.local_kafka.node import Node
from streamapp.local_kafka.state import BrokerState, NodeState

_STOP_SECONDS = 30.0


class Cluster:
    """All nodes of the broker in a folder, running or not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def nodes(self) -> Sequence[Node]:
        """The nodes that have files in the folder."""
        return [Node(folder) for folder in sorted(self._folder.glob("node-*"))]

    def pids(self) -> tuple[int, ...]:
        """Process ids of the running nodes."""
        return tuple(pid for node in self.nodes() if (pid := node.pid()) is not None)

    def is_running(self) -> bool:
        """Whether any node runs."""
        return any(node.is_running() for node in self.nodes())

    def has_data(self) -> bool:
        """Whether the folder has topics and records."""
        return self._cluster_id() is not None

    def missing(self, state: BrokerState) -> Sequence[NodeState]:
        """The nodes of the broker that do not run."""
        return [node for node in state.nodes if not self._node(node).is_running()]

    def start(self, nodes: Sequence[NodeState], state: BrokerState, jvm: KafkaJvm) -> None:
        """Start these nodes of the broker, each with its own storage.

        Raises:
            StartError: Kafka refuses its configuration.
        """
        cluster_id = self._cluster_id() or new_cluster_id()
        controller_ports = {node.node_id: node.controller_port for node in state.nodes}
        for planned in nodes:
            node = self._node(planned)
            config = NodeConfig(
                planned.node_id, node.data_dir, planned.listener_ports, controller_ports
            )
            node.folder.mkdir(exist_ok=True)
            node.properties_file.write_text(server_properties(config, state.options))
            if read_cluster_id(node) is None:
                jvm.format_storage(node, cluster_id, state.options.scram_users)
            node.start(jvm.broker_command(node))

    def stop(self, *, gracefully: bool) -> None:
        """Ask all nodes to end, then wait for each; the last ones would miss a quorum otherwise.

        Raises:
            DevBrokerError: a process does not end.
        """
        nodes = self.nodes()
        for node in nodes:
            node.ask_to_end(gracefully=gracefully)
        for node in nodes:
            node.wait_until_ended(timeout_seconds=_STOP_SECONDS)

    def clean(self, *, keep_data: bool) -> None:
        """Remove the files of stopped nodes: all of them, or only pid and lock files."""
        for node in self.nodes():
            if keep_data:
                node.remove_process_files()
            else:
                node.remove()

    def _node(self, planned: NodeState) -> Node:
        return Node(self._folder / f"node-{planned.node_id}")

    def _cluster_id(self) -> str | None:
        ids = (read_cluster_id(node) for node in self.nodes())
        return next((known for known in ids if known), None)
