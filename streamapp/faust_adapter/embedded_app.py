"""A Faust application that runs in this process: its consumer, its tables, its producer."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamapp.brokers.protocols import Admin
from streamapp.clock import current_clock
from streamapp.errors import ConfigurationError, StageError
from streamapp.faust_adapter.changelogs import changelogs_of, check_changelogs
from streamapp.faust_adapter.committed_reads import read_committed
from streamapp.faust_adapter.questions import Questions
from streamapp.faust_adapter.sends import Sends, watch_sends
from streamapp.record import TopicPartition

if TYPE_CHECKING:
    from streamapp.faust_adapter.consumer import FaustConsumer

log = logging.getLogger(__name__)

POLL_INTERVAL_SECONDS = 1e7
"""Longest time between two fetches of Faust, about four months.

While a stage is held, what Faust has read fills its buffers, and it fetches no more. A member that
does not fetch for this long leaves the group, and Faust never lets it join again. Whether a stage
makes progress is seen by its health.
"""

THREAD_POLLS = 20
THREAD_POLL_SECONDS = 0.1
"""How often and how long the end of Faust's thread is waited for. A client that waits for its group
ends with the session of a dead member."""


class EmbeddedApp:
    """One Faust application, which all stages of its agents share.

    Faust reads the topics, and has the group and the tables. Its agents do not run by themselves:
    what is read is handed to the consumers of the stages, which alone commit.

    Args:
        app: the application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._consumers: dict[str, FaustConsumer] = {}
        self._started: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._questions: Questions | None = None
        self._running = 0
        self._is_stopped = False
        app.on_partitions_revoked.connect(self._revoked, weak=False)
        app.on_rebalance_complete.connect(self._assigned, weak=False)
        self._on_rebalance_end = app.on_rebalance_end
        app.on_rebalance_end = self._rebalance_ended
        self._reading_again: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """Id of the application, which is the name of its group."""
        return str(self.app.conf.id)

    def add(self, agent_name: str, consumer: "FaustConsumer") -> None:
        """Hand to a consumer what is read for an agent."""
        self._consumers[agent_name] = consumer

    def ask_with(self, admin: Callable[[], Admin]) -> None:
        """Ask the broker for topics with clients that are made so; after `check`."""
        self._questions = Questions(self.name, admin)
        self.app.producer.limits.look_up = self._questions.describe

    def check(self, servers: Iterable[str]) -> None:
        """Require the settings under which the application can be a part of a worker.

        Args:
            servers: bootstrap servers of the worker.

        Raises:
            ConfigurationError: with the setting, and what to do.
        """
        conf = self.app.conf
        own = {_server(f"{url.host}:{url.port or 9092}") for url in conf.broker}
        if own.isdisjoint(map(_server, servers)):
            raise ConfigurationError(
                f"Faust application {self.name!r} uses the broker {', '.join(sorted(own))}, and"
                f" this worker {', '.join(servers)}: give both the same"
            )
        if str(getattr(conf.processing_guarantee, "value", "")) == "exactly_once":
            raise ConfigurationError(
                f"Faust application {self.name!r}: processing_guarantee is exactly_once, which"
                " Faust does not keep when it runs inside of another process; take the setting out"
            )
        if conf.stream_publish_on_commit:
            raise ConfigurationError(
                f"Faust application {self.name!r}: stream_publish_on_commit lets Faust send when it"
                " commits, but the stage commits, so nothing would be sent; take the setting out"
            )
        for name in ("faust", "mode"):
            logging.getLogger(name).setLevel(logging.WARNING)  # each of its parts tells its start
        read_committed(self.app)
        watch_sends(self.app)
        conf.broker_max_poll_interval = POLL_INTERVAL_SECONDS
        conf.web_enabled = False
        conf.topic_disable_leader = True

    async def start(self) -> None:
        """Begin to start the application, once for all its stages.

        It is not waited for: Faust answers when it has joined its group, which may take as long as
        the session of a dead member, and until then nobody could stop the worker.

        Raises:
            ConfigurationError: an agent of it is no stage of this worker, or a table cannot be
                written.
            BrokerError: the broker does not answer.
            StageError: it was stopped before; Faust starts once in a process.
        """
        if self._is_stopped:
            raise StageError(
                f"Faust application {self.name!r} has left its group, and joins it again only in a"
                " new process; start the worker again",
                stage_id=self.name,
            )
        async with self._starting:
            if self._started is None:
                self._require_stages()
                await self._check_changelogs()
                self._started = asyncio.create_task(self.app.start())
        self._running += 1

    async def stop(self, timeout_seconds: float) -> None:
        """Stop the application when the last of its stages has ended.

        After the deadline it is abandoned: what it holds is not committed, and is read again.
        """
        self._running -= 1
        if self._running > 0:
            return
        self._is_stopped = True
        if self._started is not None:
            self._started.cancel()  # if it has not ended: then the start is given up
        thread = self._consumer_thread()
        if thread is not None and thread._thread is not None:  # noqa: SLF001 - there is no public way
            # It would block the event loop until the client has left the group.
            thread._thread.stop = _no_wait  # noqa: SLF001 - the same
        has_ended = False
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.app.stop()
            has_ended = True
        except TimeoutError:
            log.warning(
                "Faust application %s did not stop within %g s, and is abandoned",
                self.name,
                timeout_seconds,
            )
        except Exception as error:  # noqa: BLE001 - it has crashed, which `require_running` tells
            log.warning("Faust application %s did not stop properly: %r", self.name, error)
        finally:
            if not has_ended:  # also when the caller does not wait as long
                self._let_go()
        if thread is not None and thread._thread is not None:  # noqa: SLF001 - the same
            await _end(thread)

    def _let_go(self) -> None:
        """Let what is left of the application end when it is cancelled, as a worker that ends does.

        Otherwise Faust starts agents again that were cancelled, and the worker waits for them.
        """
        for agent in self.app.agents.values():
            if agent.supervisor is not None:
                agent.supervisor._stopped.set()  # noqa: SLF001 - there is no public way
        thread = self._consumer_thread()
        if thread is not None and thread._thread is not None:  # noqa: SLF001 - the same
            _cancel_in(thread)

    def _consumer_thread(self) -> Any:
        return getattr(getattr(self.app, "_consumer", None), "_thread", None)

    @property
    def sends(self) -> Sends:
        """What it has sent, and whether Kafka has that."""
        sends: Sends = self.app.producer.sends
        return sends

    def require_running(self) -> None:
        """Require that the application has started, writes what it sends, and has not crashed.

        Raises:
            StageError: it has.
        """
        if self._started is not None and self._started.done() and not self._started.cancelled():
            error = self._started.exception()
            if error is not None:
                raise StageError(
                    f"Faust application {self.name!r} did not start: {type(error).__name__}:"
                    f" {error}; start the worker again",
                    stage_id=self.name,
                    original_error=error,
                ) from error
        if self._started is not None and (failure := self.sends.failure) is not None:
            raise StageError(
                f"Faust application {self.name!r} {failure}; nothing that comes from it is"
                " committed, as its tables would lack it: correct that, and start the worker again",
                stage_id=self.name,
            )
        if self.app.crashed:
            why = self.app.crash_reason
            raise StageError(
                f"Faust application {self.name!r} has crashed: {type(why).__name__}: {why};"
                " start the worker again",
                stage_id=self.name,
                original_error=why,
            )

    async def _check_changelogs(self) -> None:
        if self._questions is not None:
            async with self._questions.asking() as admin:
                await check_changelogs(self.app, admin)

    def _require_stages(self) -> None:
        missing = sorted(set(self.app.agents) - set(self._consumers))
        if missing:
            raise ConfigurationError(
                f"Faust application {self.name!r} has agents that are no stage of this worker:"
                f" {', '.join(missing)}; make a stage of each with faust_agent(), and run all in"
                " one worker"
            )
        self._require_own_topics()

    def _require_own_topics(self) -> None:
        readers: dict[str, str] = {}
        for name, agent in sorted(self.app.agents.items()):
            for topic in agent.channel.topics:
                if topic in readers:
                    raise ConfigurationError(
                        f"Faust application {self.name!r}: {readers[topic]} and {name} both read"
                        f" {topic}, in one group, so each would commit what the other has not"
                        " finished; move one of them to an application of its own"
                    )
                readers[topic] = name

    async def _revoked(self, _app: Any, _revoked: Iterable[Any], **_: Any) -> None:
        """Have all stages give their partitions back, side by side: their deadline is one.

        One that fails keeps no other from committing what it has finished.
        """
        ended = await asyncio.gather(
            *(consumer.revoked() for consumer in self._consumers.values()), return_exceptions=True
        )
        for error in ended:
            if error is not None:
                raise error

    def _rebalance_ended(self) -> None:
        """Faust hands over what it reads from now on, and tells so with a plain call."""
        self._on_rebalance_end()
        task = asyncio.create_task(self._read_again())
        self._reading_again.add(task)
        task.add_done_callback(self._reading_again.discard)

    async def _read_again(self) -> None:
        try:
            for consumer in self._consumers.values():
                await consumer.read_again()
        except Exception as error:  # noqa: BLE001 - as when the partitions are gone meanwhile
            log.debug("Faust application %s was not sent back: %r", self.name, error)

    async def _assigned(self, _app: Any, **_: Any) -> None:
        """Give the stages their partitions; the tables have been restored."""
        await self.app.producer.learn(list(changelogs_of(self.app)))
        held = frozenset(TopicPartition(*one) for one in self.app.consumer.assignment())
        for consumer in self._consumers.values():
            await consumer.assigned(held)


def _no_wait() -> None:
    """In the place of a wait that blocks."""


async def _end(thread: Any) -> None:
    """Give the thread of the consumer a moment to end, then cancel what it waits for."""
    clock = current_clock()
    for _ in range(THREAD_POLLS):
        if thread._thread.is_stopped.is_set():  # noqa: SLF001 - there is no public way
            return
        await clock.sleep(THREAD_POLL_SECONDS)
    _cancel_in(thread)


def _cancel_in(thread: Any) -> None:
    loop = thread.thread_loop
    with suppress(RuntimeError):  # its loop is closed: nothing waits there any more
        loop.call_soon_threadsafe(_cancel_all, loop)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _server(address: str) -> str:
    return address.replace("localhost", "127.0.0.1")
