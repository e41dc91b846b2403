"""The development broker: Apache Kafka in a folder, up, down and its status."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from streamapp.brokers.dev.config import BrokerOptions, NodeConfig, server_properties
from streamapp.brokers.dev.errors import FolderError, PortInUseError, StartError
from streamapp.brokers.dev.jars import default_cache_dir, resolve_jars
from streamapp.brokers.dev.java import find_java
from streamapp.brokers.dev.kafka_jvm import KafkaJvm, new_cluster_id, read_cluster_id
from streamapp.brokers.dev.lock import locked_folder
from streamapp.brokers.dev.node import Node
from streamapp.brokers.dev.plan import plan_state
from streamapp.brokers.dev.ports import PortChooser
from streamapp.brokers.dev.readiness import is_ready
from streamapp.brokers.dev.state import BrokerState, read_state, remove_state
from streamapp.errors import ConfigurationError

_HANDSHAKE_SECONDS = 3.0
_POLL_SECONDS = 0.1
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """A broker of which at least one node runs.

    Attributes:
        state: what it is made of: addresses, options, version.
        pids: process ids of the nodes that run.
        uptime_seconds: since it was started.
        ready: whether all nodes run and answer a client.
    """

    state: BrokerState
    pids: tuple[int, ...]
    uptime_seconds: float
    ready: bool


@dataclass(frozen=True, slots=True)
class UpResult:
    """What `up` left: the status of the broker, and whether all of it ran before."""

    status: BrokerStatus
    was_running: bool


class DevBroker:
    """Apache Kafka, one or more nodes, with everything that is its own under one folder.

    Commands on one folder wait for one another, also between processes.

    Args:
        folder: for state, data and logs; created when missing.
        options: nodes, port, properties, listeners, heap; by default those that the folder's
            broker had.
        cache_dir: where Kafka's jars are kept; by default the user's cache.
        report: told about steps that take a while.
    """

    def __init__(
        self,
        folder: Path,
        options: BrokerOptions | None = None,
        *,
        cache_dir: Path | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder.absolute()
        self._options = options
        self._cache_dir = (cache_dir or default_cache_dir()).absolute()
        self._report = report

    def up(self, *, timeout_seconds: float = 60.0) -> UpResult:
        """Start the nodes that do not run, and wait until the broker is ready.

        Raises:
            ConfigurationError: the folder's broker has other options.
            ToolMissingError: no Java, or no Maven when the jars have to be fetched.
            JarsError: the jars could not be fetched.
            FolderError: the folder or the cache cannot be written.
            PortInUseError: a port that was asked for is taken.
            StartError: Kafka ended, or was not ready in time; nothing of it runs on.
        """
        with self._locked():
            saved = read_state(self.folder)
            running = [node for node in self._nodes() if node.is_running()]
            options = self._agreed_options(saved, is_running=bool(running))
            java = find_java()
            jars = resolve_jars(self._cache_dir, self._report)
            jvm = KafkaJvm(java, jars, options.heap_mb)
            state = saved if saved and running else self._plan(options, saved)
            had_data = any(read_cluster_id(node) for node in self._nodes())
            try:
                started = self._start_missing(state, jvm)
                status = self._wait_until_ready(state, timeout_seconds)
            except BaseException:
                self._stop(gracefully=False)
                self._clean(keep_data=had_data)
                raise
            return UpResult(status, was_running=not started)

    def down(self, *, keep_data: bool = False) -> bool:
        """Stop the broker, and remove everything of it unless its data are to be kept.

        Returns:
            Whether anything ran.

        Raises:
            DevBrokerError: a process does not end.
            FolderError: the folder cannot be written.
        """
        if not self.folder.is_dir():
            return False
        with self._locked():
            ran = any(node.is_running() for node in self._nodes())
            self._stop(gracefully=keep_data)
            self._clean(keep_data=keep_data)
        return ran

    def status(self) -> BrokerStatus | None:
        """What runs now; `None` when nothing does."""
        state = read_state(self.folder)
        pids = tuple(pid for node in self._nodes() if (pid := node.pid()) is not None)
        if state is None or not pids:
            return None
        ready = len(pids) == len(state.nodes) and is_ready(
            state, timeout_seconds=_HANDSHAKE_SECONDS
        )
        return BrokerStatus(state, pids, max(0.0, time.time() - state.started_at), ready)

    def log_files(self) -> Sequence[Path]:
        """Logs of the nodes."""
        return [node.log_file for node in self._nodes()]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with locked_folder(self.folder):
                try:
                    yield
                finally:
                    with suppress(OSError):
                        self.folder.rmdir()  # only when nothing was put, or left, in it
        except OSError as error:
            raise FolderError(
                f"Cannot keep a broker in {self.folder}: {error.strerror}. "
                "Choose another folder with --dir."
            ) from error

    def _nodes(self) -> Sequence[Node]:
        return [Node(folder) for folder in sorted(self.folder.glob("node-*"))]

    def _node(self, node_id: int) -> Node:
        return Node(self.folder / f"node-{node_id}")

    def _agreed_options(self, saved: BrokerState | None, *, is_running: bool) -> BrokerOptions:
        if saved is None:
            return self._options or BrokerOptions()
        wanted = self._options or saved.options
        if is_running and wanted != saved.options:
            raise ConfigurationError(
                f"The broker in {self.folder} runs with other options; take it down first."
            )
        if wanted.nodes != saved.options.nodes:
            raise ConfigurationError(
                f"The data in {self.folder} are those of {saved.options.nodes} node(s), "
                f"not {wanted.nodes}; take the broker down without keeping its data first."
            )
        return wanted

    def _plan(self, options: BrokerOptions, saved: BrokerState | None) -> BrokerState:
        # Ports are no secret: any generator does.
        ports = PortChooser(random.Random())  # noqa: S311
        state = plan_state(options, saved, ports, started_at=time.time())
        state.write(self.folder)
        return state

    def _start_missing(self, state: BrokerState, jvm: KafkaJvm) -> bool:
        """Start every node that does not run; whether there was one."""
        missing = [node for node in state.nodes if not self._node(node.node_id).is_running()]
        cluster_id = self._cluster_id(state)
        controller_ports = {node.node_id: node.controller_port for node in state.nodes}
        for planned in missing:
            node = self._node(planned.node_id)
            config = NodeConfig(
                planned.node_id, node.data_dir, planned.listener_ports, controller_ports
            )
            node.folder.mkdir(exist_ok=True)
            node.properties_file.write_text(server_properties(config, state.options))
            if read_cluster_id(node) is None:
                jvm.format_storage(node, cluster_id)
            node.start(jvm.broker_command(node))
        return bool(missing)

    def _cluster_id(self, state: BrokerState) -> str:
        ids = (read_cluster_id(self._node(node.node_id)) for node in state.nodes)
        return next((known for known in ids if known), None) or new_cluster_id()

    def _wait_until_ready(self, state: BrokerState, timeout_seconds: float) -> BrokerStatus:
        deadline = time.monotonic() + timeout_seconds
        while True:
            ended = [node for node in self._nodes() if not node.is_running()]
            if ended:
                raise _ended(ended[0])
            status = self.status()
            if status is not None and status.ready:
                return status
            if time.monotonic() > deadline:
                raise StartError(
                    f"Kafka was not ready within {timeout_seconds:g} s; --timeout gives it longer.",
                    log=self._node(state.nodes[0].node_id).read_log(),
                )
            time.sleep(_POLL_SECONDS)

    def _stop(self, *, gracefully: bool) -> None:
        stop_all(self._nodes(), gracefully=gracefully)

    def _clean(self, *, keep_data: bool) -> None:
        for node in self._nodes():
            if keep_data:
                node.remove_process_files()
            else:
                node.remove()
        if not keep_data:
            remove_state(self.folder)


def stop_all(nodes: Iterable[Node], *, gracefully: bool) -> None:
    """Ask all, then wait for each: nodes that stop in turn would wait for one another's quorum."""
    nodes = list(nodes)
    for node in nodes:
        node.ask_to_end(gracefully=gracefully)
    for node in nodes:
        node.wait_until_ended(timeout_seconds=_STOP_SECONDS)


def _ended(node: Node) -> StartError | PortInUseError:
    log = node.read_log()
    if "Address already in use" in log:
        return PortInUseError(
            "Another process took the broker's port while Kafka started; try again, "
            "or choose another with --port."
        )
    return StartError("Kafka ended while it started.", log=log)
