"""Ports of the development broker, on real sockets."""

import random
import socket
from collections.abc import Iterator

import pytest

from streamapp.cli.broker import port_if_free
from streamapp.local_kafka.config import BrokerOptions
from streamapp.local_kafka.errors import PortInUseError
from streamapp.local_kafka.plan import plan_state
from streamapp.local_kafka.ports import HOST, PortChooser
from streamapp.local_kafka.state import BrokerState


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def plan(options: BrokerOptions, saved: BrokerState | None = None) -> BrokerState:
    return plan_state(options, saved, PortChooser(random.Random()), started_at=0.0)


def with_port(state: BrokerState, port: int) -> BrokerState:
    node = state.nodes[0].model_copy(update={"listener_ports": {"PLAINTEXT": port}})
    return state.model_copy(update={"nodes": (node,)})


def test_every_port_of_a_broker_is_another() -> None:
    state = plan(BrokerOptions(nodes=3, listeners={"TLS": "SSL"}))
    ports = [port for node in state.nodes for port in node.listener_ports.values()]
    ports += [node.controller_port for node in state.nodes]
    assert len(ports) == 9
    assert len(set(ports)) == 9


def test_a_broker_gets_the_ports_it_had() -> None:
    options = BrokerOptions(nodes=2)
    before = plan(options)
    assert plan(options, before).nodes == before.nodes


def test_a_broker_whose_port_was_taken_meanwhile_gets_another(taken_port: int) -> None:
    before = with_port(plan(BrokerOptions()), taken_port)
    after = plan(BrokerOptions(), before)
    assert after.nodes[0].listener_ports["PLAINTEXT"] != taken_port
    assert after.nodes[0].controller_port == before.nodes[0].controller_port


def test_a_port_that_was_asked_for_is_that_or_nothing(taken_port: int) -> None:
    with pytest.raises(PortInUseError, match=f"{taken_port} on 127.0.0.1 is in use"):
        plan(BrokerOptions(port=taken_port))


def test_a_preferred_port_is_taken_only_if_every_node_finds_its_own_free(taken_port: int) -> None:
    assert port_if_free(taken_port, nodes=1) is None
    assert port_if_free(taken_port - 1, nodes=2) is None
    free = PortChooser(random.Random()).choose()
    assert port_if_free(free, nodes=1) == free
