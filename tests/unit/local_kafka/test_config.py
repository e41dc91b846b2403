from pathlib import Path

import pytest

from streamapp.errors import ConfigurationError
from streamapp.local_kafka.config import (
    OWN_PROPERTIES,
    BrokerOptions,
    NodeConfig,
    server_properties,
)


def properties_of(
    options: BrokerOptions,
    *,
    listener_ports: dict[str, int] | None = None,
    controller_ports: dict[int, int] | None = None,
) -> dict[str, str]:
    node = NodeConfig(
        1, Path("/data"), listener_ports or {"PLAINTEXT": 9092}, controller_ports or {1: 9093}
    )
    lines = server_properties(node, options).splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_everything_listens_on_the_loopback_interface() -> None:
    properties = properties_of(
        BrokerOptions(listeners={"TLS": "SSL"}), listener_ports={"PLAINTEXT": 9092, "TLS": 9094}
    )
    assert properties["listeners"] == (
        "PLAINTEXT://127.0.0.1:9092,TLS://127.0.0.1:9094,CONTROLLER://127.0.0.1:9093"
    )
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092,TLS://127.0.0.1:9094"
    assert "TLS:SSL" in properties["listener.security.protocol.map"].split(",")


def test_every_node_is_a_voter() -> None:
    properties = properties_of(BrokerOptions(nodes=2), controller_ports={2: 22, 1: 11})
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:11,2@127.0.0.1:22"


@pytest.mark.parametrize(
    ("nodes", "copies", "in_sync"), [(1, "1", "1"), (2, "2", "2"), (3, "3", "2"), (5, "3", "2")]
)
def test_internal_topics_have_as_many_copies_as_nodes_up_to_three(
    nodes: int, copies: str, in_sync: str
) -> None:
    ports = {node_id: node_id for node_id in range(1, nodes + 1)}
    properties = properties_of(BrokerOptions(nodes=nodes), controller_ports=ports)
    assert properties["offsets.topic.replication.factor"] == copies
    assert properties["transaction.state.log.replication.factor"] == copies
    assert properties["transaction.state.log.min.isr"] == in_sync


def test_the_users_properties_win_over_the_development_defaults() -> None:
    options = BrokerOptions(properties={"auto.create.topics.enable": "true"})
    assert properties_of(options)["auto.create.topics.enable"] == "true"


@pytest.mark.parametrize("name", sorted(OWN_PROPERTIES))
def test_properties_that_the_broker_sets_itself_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        BrokerOptions(properties={name: "x"})


def test_values_are_escaped_as_java_reads_them() -> None:
    options = BrokerOptions(properties={"a": "back\\slash", "b": "two\nlines", "c": " led"})
    properties = properties_of(options)
    assert (properties["a"], properties["b"], properties["c"]) == (
        r"back\\slash",
        r"two\nlines",
        r"\ led",
    )


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("TLS", "TLSv1"), ("PLAINTEXT", "SSL"), ("CONTROLLER", "SSL"), ("a-b", "SSL"), ("", "SSL")],
)
def test_a_listener_without_a_good_name_and_protocol_is_refused(name: str, protocol: str) -> None:
    with pytest.raises(ConfigurationError):
        BrokerOptions(listeners={name: protocol})


@pytest.mark.parametrize(("nodes", "port"), [(0, None), (1, 0), (1, 65536), (3, 65534)])
def test_numbers_that_cannot_be_are_refused(nodes: int, port: int | None) -> None:
    with pytest.raises(ConfigurationError):
        BrokerOptions(nodes=nodes, port=port)


def test_a_proxy_before_a_listener_is_advertised_in_its_place() -> None:
    properties = properties_of(
        BrokerOptions(listeners={"FAR": "PLAINTEXT"}, advertised_ports={"FAR": [7000]}),
        listener_ports={"PLAINTEXT": 9092, "FAR": 9094},
    )
    assert "FAR://127.0.0.1:9094" in properties["listeners"].split(",")
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092,FAR://127.0.0.1:7000"


@pytest.mark.parametrize("advertised", [{"FAR": [7000, 7001]}, {"PLAINTEXT": [7000]}])
def test_advertised_ports_that_fit_no_listener_or_not_all_nodes_are_refused(
    advertised: dict[str, list[int]],
) -> None:
    with pytest.raises(ConfigurationError, match="advertised_ports needs a further listener"):
        BrokerOptions(listeners={"FAR": "PLAINTEXT"}, advertised_ports=advertised)
