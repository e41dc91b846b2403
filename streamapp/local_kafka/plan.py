"""Chooses the nodes and ports of a broker."""

from streamapp.local_kafka.config import CLIENT_LISTENER, BrokerOptions
from streamapp.local_kafka.jars import KAFKA_VERSION
from streamapp.local_kafka.ports import PortChooser
from streamapp.local_kafka.state import BrokerState, NodeState


def plan_state(
    options: BrokerOptions, saved: BrokerState | None, ports: PortChooser, *, started_at: float
) -> BrokerState:
    """The state of a broker to start: given ports, else the saved ones, else free ones.

    Raises:
        PortInUseError: a given port is in use.
    """
    before = {node.node_id: node for node in saved.nodes} if saved else {}
    asked = {
        node_id: ports.claim(options.port + node_id - 1)
        for node_id in range(1, options.nodes + 1)
        if options.port is not None
    }
    nodes = tuple(
        _plan_node(node_id, asked.get(node_id), options, before.get(node_id), ports)
        for node_id in range(1, options.nodes + 1)
    )
    return BrokerState(
        kafka_version=KAFKA_VERSION, started_at=started_at, options=options, nodes=nodes
    )


def _plan_node(
    node_id: int,
    asked_port: int | None,
    options: BrokerOptions,
    before: NodeState | None,
    ports: PortChooser,
) -> NodeState:
    old_ports = before.listener_ports if before else {}
    plain = asked_port or ports.choose(old_ports.get(CLIENT_LISTENER))
    others = {name: ports.choose(old_ports.get(name)) for name in options.listeners}
    return NodeState(
        node_id=node_id,
        listener_ports={CLIENT_LISTENER: plain, **others},
        controller_port=ports.choose(before.controller_port if before else None),
    )
