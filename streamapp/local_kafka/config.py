"""The options of a local Kafka, and the server.properties of its nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamapp.errors import ConfigurationError
from streamapp.local_kafka.ports import HOST

CLIENT_LISTENER = "PLAINTEXT"
"""The listener that every node has: for clients, other nodes and the check of readiness."""

CONTROLLER_LISTENER = "CONTROLLER"

_LAST_PORT = 65535

SECURITY_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})

OWN_PROPERTIES: Mapping[str, str] = {
    "node.id": "nodes are numbered from 1; use --nodes",
    "process.roles": "every node is broker and controller",
    "controller.quorum.voters": "every node is a voter; use --nodes",
    "controller.listener.names": "the controllers have a listener of their own",
    "listeners": "use --port, and --listener for further ones",
    "advertised.listeners": "clients connect to the listeners directly",
    "listener.security.protocol.map": "use --listener NAME:PROTOCOL",
    "inter.broker.listener.name": "brokers connect to one another over the PLAINTEXT listener",
    "log.dirs": "use --dir",
    "log.dir": "use --dir",
}
"""Properties that a user cannot set, and what to use instead."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One Kafka node: broker and controller in one process.

    Attributes:
        node_id: number of the node, from 1.
        data_dir: folder of its data.
        listener_ports: port of each listener by the listener's name, `PLAINTEXT` among them.
        controller_ports: controller port of each node of the cluster by its id.
    """

    node_id: int
    data_dir: Path
    listener_ports: Mapping[str, int]
    controller_ports: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """What a user can choose.

    Attributes:
        nodes: brokers in the cluster, each a controller too.
        port: port of the first node's `PLAINTEXT` listener; each next node takes the next port.
            `None` takes free ports.
        properties: Kafka broker properties; they replace the development defaults.
        listeners: security protocol of each further listener, by its name; they take free ports.
        advertised_ports: for a further listener, the port of each node that clients use, such as
            the port of a proxy; by default the port that it listens on.
        scram_users: passwords of SCRAM-SHA-256 users by name. They are stored in the folder in
            plain
            text: for development only.
        heap_mb: largest JVM heap of a node, in MiB.
    """

    nodes: int = 1
    port: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    listeners: Mapping[str, str] = field(default_factory=dict)
    advertised_ports: Mapping[str, list[int]] = field(default_factory=dict)
    scram_users: Mapping[str, str] = field(default_factory=dict)
    heap_mb: int = 512

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise ConfigurationError(f"A broker has at least one node, not {self.nodes}.")
        if self.port is not None and not 1 <= self.port <= _LAST_PORT - self.nodes + 1:
            raise ConfigurationError(
                f"{self.nodes} node(s) from port {self.port} do not fit between 1 and {_LAST_PORT}."
            )
        for name, protocol in self.listeners.items():
            _check_listener(name, protocol)
        for name, ports in self.advertised_ports.items():
            if name not in self.listeners or len(ports) != self.nodes:
                raise ConfigurationError(
                    f"advertised_ports needs a further listener and {self.nodes} port(s), one for"
                    f" each node; {name} is no further listener, or has {len(ports)} port(s)."
                )
        for name in self.properties:
            if name in OWN_PROPERTIES:
                raise ConfigurationError(
                    f"The property {name} cannot be set: {OWN_PROPERTIES[name]}."
                )


def development_properties(nodes: int) -> dict[str, str]:
    """Properties that differ from Kafka's defaults: small, quick, no topics by accident."""
    replicas = min(nodes, 3)
    in_sync = min(replicas, 2)
    return {
        # After a crash a node can join again only when its old session has expired.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": str(replicas),
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    }


def server_properties(node: NodeConfig, options: BrokerOptions) -> str:
    """The text of a node's server.properties: defaults, then the user's, then the fixed ones."""
    protocols = {
        CONTROLLER_LISTENER: "PLAINTEXT",
        CLIENT_LISTENER: "PLAINTEXT",
        **options.listeners,
    }
    client_addresses = _addresses(node.listener_ports)
    advertised = {name: ports[node.node_id - 1] for name, ports in options.advertised_ports.items()}
    controller_port = node.controller_ports[node.node_id]
    properties = {
        **development_properties(len(node.controller_ports)),
        **options.properties,
        "node.id": str(node.node_id),
        "process.roles": "broker,controller",
        "controller.listener.names": CONTROLLER_LISTENER,
        "controller.quorum.voters": ",".join(
            f"{node_id}@{HOST}:{port}" for node_id, port in sorted(node.controller_ports.items())
        ),
        "listeners": ",".join(
            [*client_addresses, *_addresses({CONTROLLER_LISTENER: controller_port})]
        ),
        "advertised.listeners": ",".join(_addresses({**node.listener_ports, **advertised})),
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in sorted(protocols.items())
        ),
        "inter.broker.listener.name": CLIENT_LISTENER,
        "log.dirs": str(node.data_dir),
    }
    return "".join(f"{name}={_escape(value)}\n" for name, value in sorted(properties.items()))


def _addresses(ports: Mapping[str, int]) -> Sequence[str]:
    return [f"{name}://{HOST}:{port}" for name, port in ports.items()]


def _escape(value: str) -> str:
    """A value escaped for java.util.Properties."""
    text = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "\\" + text if text.startswith((" ", "\t")) else text


def _check_listener(name: str, protocol: str) -> None:
    if protocol not in SECURITY_PROTOCOLS:
        raise ConfigurationError(
            f"{protocol} of listener {name} is no security protocol; "
            f"use one of {', '.join(sorted(SECURITY_PROTOCOLS))}."
        )
    if name in {CLIENT_LISTENER, CONTROLLER_LISTENER} or not name.isidentifier():
        raise ConfigurationError(
            f"A listener cannot be named {name!r}; use letters, digits and _, "
            f"and neither {CLIENT_LISTENER} nor {CONTROLLER_LISTENER}."
        )
