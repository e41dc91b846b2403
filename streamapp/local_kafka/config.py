"""server.properties of one node of the development broker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamapp.errors import ConfigurationError
from streamapp.local_kafka.ports import HOST

CLIENT_LISTENER = "PLAINTEXT"
"""The listener that is always there: for clients, between brokers and to see readiness."""

CONTROLLER_LISTENER = "CONTROLLER"

_LAST_PORT = 65535

SECURITY_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})

OWN_PROPERTIES: Mapping[str, str] = {
    "node.id": "nodes are numbered from 1; --nodes says how many",
    "process.roles": "every node is broker and controller",
    "controller.quorum.voters": "every node is a voter; --nodes says how many",
    "controller.listener.names": "the controllers have a listener of their own",
    "listeners": "use --port, and --listener for further ones",
    "advertised.listeners": "clients reach the listeners where they are",
    "listener.security.protocol.map": "use --listener NAME:PROTOCOL",
    "inter.broker.listener.name": "brokers speak over the PLAINTEXT listener",
    "log.dirs": "use --dir",
    "log.dir": "use --dir",
}
"""Properties that the development broker sets itself, and what to use instead."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One Kafka node: broker and controller in one process.

    Attributes:
        node_id: from 1.
        data_dir: where its logs lie.
        listener_ports: port of each listener by the listener's name, `PLAINTEXT` among them.
        controller_ports: controller port of each node of the cluster by its id.
    """

    node_id: int
    data_dir: Path
    listener_ports: Mapping[str, int]
    controller_ports: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """What a user may choose of the broker.

    Attributes:
        nodes: brokers in the cluster, each a controller too.
        port: port of the first node's `PLAINTEXT` listener, the next nodes have the next ones;
            `None` takes free ports.
        properties: Kafka broker properties, over the development defaults.
        listeners: further listeners, name to security protocol; their ports are chosen free.
        advertised_ports: of a further listener, for each node the port that clients are told, such
            as that of a proxy before it; by default where it listens.
        scram_users: passwords of SCRAM-SHA-256 users by name, made with the data and kept in the
            folder in plain text: for development only.
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
                    f"Advertised ports are those of a further listener, one for each node; {name} "
                    f"is no such listener or {len(ports)} are not {self.nodes}."
                )
        for name in self.properties:
            if name in OWN_PROPERTIES:
                raise ConfigurationError(
                    f"{name} is set by the development broker: {OWN_PROPERTIES[name]}."
                )


def development_properties(nodes: int) -> dict[str, str]:
    """What differs from Kafka's own defaults: small, quick, and nothing made by accident."""
    replicas = min(nodes, 3)
    in_sync = min(replicas, 2)
    return {
        # After a crash a node is let in again only when its old session has ended.
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
    """The text of a node's server.properties: defaults, the user's, then what must be so."""
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
    """A value as java.util.Properties reads it back."""
    text = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "\\" + text if text.startswith((" ", "\t")) else text


def _check_listener(name: str, protocol: str) -> None:
    if protocol not in SECURITY_PROTOCOLS:
        raise ConfigurationError(
            f"{protocol} of listener {name} is no security protocol; "
            f"it is one of {', '.join(sorted(SECURITY_PROTOCOLS))}."
        )
    if name in {CLIENT_LISTENER, CONTROLLER_LISTENER} or not name.isidentifier():
        raise ConfigurationError(
            f"A listener cannot be named {name!r}: letters, digits and _, "
            f"and neither {CLIENT_LISTENER} nor {CONTROLLER_LISTENER}."
        )
