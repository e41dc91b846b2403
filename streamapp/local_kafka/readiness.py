"""Checks with a real client whether a broker is ready."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streamapp.local_kafka.config import CLIENT_LISTENER
from streamapp.local_kafka.ports import HOST
from streamapp.local_kafka.state import BrokerState


def is_ready(state: BrokerState, *, timeout_seconds: float) -> bool:
    """Whether all nodes listen and are part of the cluster, and consumer groups can be used.

    The client runs in a thread, so that this can be called while an event loop runs.
    """
    ports = [node.listener_ports[CLIENT_LISTENER] for node in state.nodes]
    if not all(_listens(port, timeout_seconds) for port in ports):
        return False  # the client would log an error
    with ThreadPoolExecutor(max_workers=1) as thread:
        asked = thread.submit(asyncio.run, _count_brokers(state.bootstrap_servers, timeout_seconds))
        return asked.result() == len(state.nodes)


def _listens(port: int, timeout_seconds: float) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


async def _count_brokers(bootstrap_servers: str, timeout_seconds: float) -> int:
    """Number of brokers in the metadata; 0 without an answer or a group coordinator in time."""
    client = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap_servers, client_id="streamapp-dev-broker"
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            await client.start()
            cluster = await client.describe_cluster()
            # The first request makes Kafka create the offsets topic; a consumer would log errors.
            await client.find_coordinator("streamapp-dev-broker")
            return len(cluster["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return 0
    finally:
        await client.close()
