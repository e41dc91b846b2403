"""TCP proxies between workers and broker: one for each node, all with the same weather."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from streamapp.local_kafka.config import BrokerOptions
from streamapp.local_kafka.ports import HOST
from tests.kafka import Kafka, running_kafka
from tests.torture.weather import Weather
from tests.torture.wiretap import Tap, Wiretap

LISTENER = "PROXIED"
"""The listener of the broker that is advertised as its proxy."""

_CHUNK_BYTES = 64 * 1024
_CONNECT_SECONDS = 5.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends a reset


class Proxy:
    """Forwards connections to one node.

    Args:
        weather: the faults that happen to connections.
        wiretap: reads what is sent.

    Attributes:
        port: the port on which it listens, and that the broker advertises.
        target: the port of the node.
        connections: number of connections that were made through it.
    """

    def __init__(self, weather: Weather, wiretap: Wiretap) -> None:
        self._weather = weather
        self._wiretap = wiretap
        self._open: set[asyncio.StreamWriter] = set()
        self._handling: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.target = 0
        self.connections = 0

    async def listen(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._handle, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Accept no more connections, and close those that are open."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._handling:
            task.cancel()
        if self._handling:
            await asyncio.wait(self._handling)

    def reset(self) -> int:
        """Reset every connection, on both sides; returns how many."""
        hit = len(self._open)
        for writer in list(self._open):
            _reset(writer)
        return hit

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handling.add(task)
        self._open.add(writer)
        try:
            self.connections += 1
            await self._weather.passage()
            async with asyncio.timeout(_CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
            self._open.add(far_writer)
            try:
                tap = self._wiretap.connection(writer.get_extra_info("peername")[1])
                await self._both_ways((reader, writer), (far_reader, far_writer), tap)
            finally:
                self._open.discard(far_writer)
                _reset(far_writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the node is down, or a side has gone: so is the connection
        finally:
            self._open.discard(writer)
            self._handling.discard(task)
            _reset(writer)

    async def _both_ways(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        tap: Tap,
    ) -> None:
        """Forward in both directions until either side ends."""
        ways = [
            asyncio.create_task(self._one_way(near[0], far[1], tap.request)),
            asyncio.create_task(self._one_way(far[0], near[1], tap.response)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _one_way(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tap: Callable[[bytes], None],
    ) -> None:
        """Read here and write in another task, so that a delay does not hold up later chunks."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1000)
        writing = asyncio.create_task(self._write(under_way, writer, tap))
        arrival = 0.0
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                arrival = max(arrival, loop.time() + self._weather.delay_seconds())
                await under_way.put((arrival, chunk))
        finally:
            writing.cancel()
            await asyncio.wait({writing})

    async def _write(
        self,
        under_way: "asyncio.Queue[tuple[float, bytes]]",
        writer: asyncio.StreamWriter,
        tap: Callable[[bytes], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while True:
                arrival, chunk = await under_way.get()
                if arrival > loop.time():
                    await asyncio.sleep(arrival - loop.time())
                await self._weather.passage()
                tap(chunk)
                for piece in self._weather.pieces(chunk):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)  # each in a packet of its own


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class Proxies:
    """The proxies of all nodes of a broker.

    Attributes:
        weather: the faults that happen to connections.
        wiretap: what was sent over the connections.
        servers: addresses for workers.
    """

    def __init__(self, proxies: Sequence[Proxy], weather: Weather, wiretap: Wiretap) -> None:
        self._proxies = proxies
        self.weather = weather
        self.wiretap = wiretap
        self.servers = ",".join(f"{HOST}:{proxy.port}" for proxy in proxies)

    @property
    def connections(self) -> int:
        """Connections that were made through them."""
        return sum(proxy.connections for proxy in self._proxies)

    def reset(self) -> None:
        """Reset every open connection."""
        self.weather.fired["connections reset"] += sum(proxy.reset() for proxy in self._proxies)

    def around(self, pids: Sequence[int]) -> list[str]:
        """Connections of these processes that do not go through a proxy."""
        ports = {proxy.port for proxy in self._proxies}
        return [
            f"process {pid} to port {port}"
            for pid in pids
            for port in remote_ports(pid)
            if port not in ports
        ]


def remote_ports(pid: int) -> list[int]:
    """Ports to which a process is connected."""
    try:
        return [one.raddr.port for one in _connections(pid)]
    except psutil.NoSuchProcess:
        return []


def local_ports(pid: int) -> set[int]:
    """The process's own ports of these connections."""
    return {one.laddr.port for one in _connections(pid)}


def _connections(pid: int) -> list[Any]:
    return [
        one
        for one in psutil.Process(pid).net_connections("tcp")
        if one.status != psutil.CONN_LISTEN
    ]


@asynccontextmanager
async def proxied_kafka(
    folder: Path, options: BrokerOptions, weather: Weather
) -> AsyncIterator[tuple[Kafka, Proxies]]:
    """A broker that workers can reach through proxies only."""
    wiretap = Wiretap()
    proxies = [Proxy(weather, wiretap) for _ in range(options.nodes)]
    async with AsyncExitStack() as stack:
        for proxy in proxies:
            await proxy.listen()
            stack.push_async_callback(proxy.stop)
        advertised = BrokerOptions(
            nodes=options.nodes,
            heap_mb=options.heap_mb,
            properties=options.properties,
            listeners={LISTENER: "PLAINTEXT"},
            advertised_ports={LISTENER: [proxy.port for proxy in proxies]},
        )
        kafka = stack.enter_context(running_kafka(folder, advertised))
        addresses = kafka.listeners[LISTENER].split(",")
        for proxy, address in zip(proxies, addresses, strict=True):
            proxy.target = int(address.rpartition(":")[2])
        yield kafka, Proxies(proxies, weather, wiretap)
