"""The local Kafka of a folder: starts it, stops it and reports its status."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

from streamapp.errors import ConfigurationError
from streamapp.local_kafka.cluster import Cluster
from streamapp.local_kafka.config import BrokerOptions
from streamapp.local_kafka.errors import FolderError, PortInUseError, StartError
from streamapp.local_kafka.jars import default_cache_dir, resolve_jars
from streamapp.local_kafka.java import find_java
from streamapp.local_kafka.kafka_jvm import KafkaJvm
from streamapp.local_kafka.lock import locked_folder
from streamapp.local_kafka.node import Node
from streamapp.local_kafka.plan import plan_state
from streamapp.local_kafka.ports import PortChooser
from streamapp.local_kafka.readiness import is_ready
from streamapp.local_kafka.state import BrokerState, read_state, remove_state

_HANDSHAKE_SECONDS = 3.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """Status of a broker with at least one running node.

    Attributes:
        state: its addresses, options and version.
        pids: process ids of the running nodes.
        uptime_seconds: time since it was started.
        ready: whether all nodes run and answer a client.
    """

    state: BrokerState
    pids: tuple[int, ...]
    uptime_seconds: float
    ready: bool


@dataclass(frozen=True, slots=True)
class UpResult:
    """Result of `up`: the status of the broker, and whether all nodes were already running."""

    status: BrokerStatus
    was_running: bool


@dataclass(frozen=True, slots=True)
class DownResult:
    """Result of `down`: whether a node was running, and whether there was data."""

    was_running: bool
    had_data: bool


class DevBroker:
    """Apache Kafka with one or more nodes; all its files are in one folder.

    Commands on the same folder run one after the other, even in several processes.

    Args:
        folder: folder for state, data and logs; created if it is missing.
        options: nodes, port, properties, listeners, heap; by default the saved options of the
            folder.
        cache_dir: folder of Kafka's jars; by default the user's cache.
        report: called with a sentence before a step that takes long.
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
        self._cluster = Cluster(self.folder)
        self._cache_dir = (cache_dir or default_cache_dir()).absolute()
        self._report = report

    def up(self, *, timeout_seconds: float = 60.0) -> UpResult:
        """Start the nodes that do not run, and wait until the broker is ready.

        Raises:
            ConfigurationError: the folder's broker has other options.
            ToolMissingError: Java is missing, or Maven is missing and needed to fetch the jars.
            JarsError: the jars could not be fetched.
            FolderError: the folder or the cache cannot be written.
            PortInUseError: a given port is in use.
            StartError: Kafka ended, or was not ready in time; no node is left running.
        """
        with self._locked():
            state = self._agreed_state()
            missing = self._cluster.missing(state)
            if not missing:
                return UpResult(self._wait_until_ready(timeout_seconds), was_running=True)
            had_data = self._cluster.has_data()
            try:
                java, jars = find_java(), resolve_jars(self._cache_dir, self._report)
                self._cluster.start(missing, state, KafkaJvm(java, jars, state.options.heap_mb))
                return UpResult(self._wait_until_ready(timeout_seconds), was_running=False)
            except BaseException:
                self._end(gracefully=False, keep_data=had_data)
                raise

    def down(self, *, keep_data: bool = False) -> DownResult:
        """Stop the broker; remove all its files unless `keep_data` is set.

        Raises:
            DevBrokerError: a process does not end.
            FolderError: the folder cannot be written.
        """
        if not self.folder.is_dir():
            return DownResult(was_running=False, had_data=False)
        with self._locked():
            found = DownResult(self._cluster.is_running(), self._cluster.has_data())
            self._end(gracefully=keep_data, keep_data=keep_data)
        return found

    def status(self) -> BrokerStatus | None:
        """The status; `None` if no node runs."""
        state = read_state(self.folder)
        pids = self._cluster.pids()
        if state is None or not pids:
            return None
        ready = len(pids) == len(state.nodes) and is_ready(
            state, timeout_seconds=_HANDSHAKE_SECONDS
        )
        return BrokerStatus(state, pids, max(0.0, time.time() - state.started_at), ready)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        made = [self.folder, *(parent for parent in self.folder.parents if not parent.exists())]
        try:
            with locked_folder(self.folder):
                try:
                    yield
                finally:
                    with suppress(OSError):  # only empty folders are removed
                        for folder in made:
                            folder.rmdir()
        except OSError as error:
            raise FolderError(
                f"Cannot keep a broker in {self.folder}: {error.strerror}. "
                "Choose another folder with --dir."
            ) from error

    def _agreed_state(self) -> BrokerState:
        """The state to run: that of the running broker, or a new one, which is saved."""
        saved = read_state(self.folder)
        if saved is None:
            self._cluster.stop(gracefully=True)  # nodes without a saved state cannot be used
            return self._plan(self._options or BrokerOptions(), None)
        wanted = self._options or saved.options
        if self._cluster.is_running():
            if wanted != saved.options:
                raise ConfigurationError(
                    f"The broker in {self.folder} runs at {saved.bootstrap_servers} with different "
                    f"options ({_differences(wanted, saved.options)}); take it down first, "
                    "with --keep-data to keep its topics."
                )
            return saved
        if wanted.nodes != saved.options.nodes:
            raise ConfigurationError(
                f"The data in {self.folder} is that of {saved.options.nodes} node(s), "
                f"not {wanted.nodes}; remove it first with `streamapp broker down`."
            )
        return self._plan(wanted, saved)

    def _plan(self, options: BrokerOptions, saved: BrokerState | None) -> BrokerState:
        ports = PortChooser(random.Random())  # noqa: S311 - free ports, not secrets
        state = plan_state(options, saved, ports, started_at=time.time())
        state.write(self.folder)
        return state

    def _wait_until_ready(self, timeout_seconds: float) -> BrokerStatus:
        deadline = time.monotonic() + timeout_seconds
        while True:
            for node in self._cluster.nodes():
                if not node.is_running():
                    raise _ended(node)
            status = self.status()
            if status is not None and status.ready:
                return status
            if time.monotonic() > deadline:
                raise StartError(
                    f"Kafka was not ready within {timeout_seconds:g} s; --timeout gives it longer.",
                    log=self._cluster.nodes()[0].read_log(),
                )
            time.sleep(_POLL_SECONDS)

    def _end(self, *, gracefully: bool, keep_data: bool) -> None:
        self._cluster.stop(gracefully=gracefully)
        self._cluster.clean(keep_data=keep_data)
        if not keep_data:
            remove_state(self.folder)


def _differences(one: BrokerOptions, other: BrokerOptions) -> str:
    names = [field.name for field in fields(one)]
    return ", ".join(name for name in names if getattr(one, name) != getattr(other, name))


def _ended(node: Node) -> StartError | PortInUseError:
    log = node.read_log()
    if "Address already in use" in log:
        return PortInUseError(
            "Another process took the broker's port while Kafka started; try again, "
            "or choose another with --port."
        )
    return StartError("Kafka ended while it started.", log=log)
