"""The nodes of a cluster: finds leaders, and stops and starts nodes one by one."""

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from streamapp.local_kafka.node import Node
from streamapp.local_kafka.state import read_state
from tests.kafka import Kafka
from tests.torture.watch import admin

_END_SECONDS = 60.0
_START_SECONDS = 90.0
_DESCRIBE_QUORUM = 55


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of a running broker.

    Attributes:
        kafka: the broker.
    """

    kafka: Kafka

    def ids(self) -> Sequence[int]:
        """Ids of the nodes."""
        state = read_state(self.kafka.broker.folder)
        assert state is not None
        return [node.node_id for node in state.nodes]

    async def end(self, node_id: int, *, gracefully: bool) -> None:
        """Stop a node cleanly, or kill it, and wait until it has ended."""
        node = Node(self.kafka.broker.folder / f"node-{node_id}")
        assert node.is_running(), f"node {node_id} does not run"
        node.ask_to_end(gracefully=gracefully)
        await asyncio.to_thread(node.wait_until_ended, timeout_seconds=_END_SECONDS)

    async def kill_all(self) -> None:
        """Kill every node."""
        for node_id in self.ids():
            await self.end(node_id, gracefully=False)

    async def start(self) -> None:
        """Start the nodes that do not run, and wait until all are ready."""
        await asyncio.to_thread(self.kafka.broker.up, timeout_seconds=_START_SECONDS)

    async def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition."""
        async with admin(self.kafka.bootstrap_servers) as client:
            (answer,) = await client.describe_topics([topic])
        leaders = {one["partition"]: int(one["leader"]) for one in answer["partitions"]}
        return leaders[partition]

    async def coordinator(self, group: str) -> int:
        """The node that coordinates a group."""
        async with admin(self.kafka.bootstrap_servers) as client:
            node_id: int = await client.find_coordinator(group)
        return node_id

    async def in_sync(self, *topics: str) -> bool:
        """Whether every replica of these topics, and of the group offsets, is in sync."""
        async with admin(self.kafka.bootstrap_servers) as client:
            answers = await client.describe_topics([*topics, "__consumer_offsets"])
        return all(
            len(one["isr"]) == len(one["replicas"])
            for answer in answers
            for one in answer["partitions"]
        )

    async def controller(self) -> int:
        """The active controller. The metadata cannot tell: it names any broker.

        It is asked for with DescribeQuorum, version 0, which the client lacks:
        https://kafka.apache.org/protocol#The_Messages_DescribeQuorum
        """
        host, _, port = self.kafka.bootstrap_servers.partition(",")[0].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            name = b"__cluster_metadata"
            header = struct.pack(">hhih", _DESCRIBE_QUORUM, 0, 1, -1) + b"\0"
            body = b"\2" + bytes([len(name) + 1]) + name + b"\2" + struct.pack(">i", 0) + b"\0\0\0"
            writer.write(struct.pack(">i", len(header + body)) + header + body)
            answer = await reader.readexactly(*struct.unpack(">i", await reader.readexactly(4)))
        finally:
            writer.close()
            await writer.wait_closed()
        # Correlation id, tags, error, topics, name, partitions; then partition, error, leader.
        at = 4 + 1 + 2 + 1 + 1 + len(name) + 1
        _partition, error, leader = struct.unpack_from(">ihi", answer, at)
        assert error == 0, f"DescribeQuorum answered {error}"
        return int(leader)
