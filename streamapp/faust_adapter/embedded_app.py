"""A Faust application that runs in this process: its consumer, its tables, its producer."""

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from streamapp.errors import BrokerError, ConfigurationError, StageError
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
        self._running = 0
        app.on_partitions_revoked.connect(self._revoked, weak=False)
        app.on_rebalance_complete.connect(self._assigned, weak=False)

    @property
    def name(self) -> str:
        """Id of the application, which is the name of its group."""
        return str(self.app.conf.id)

    def add(self, agent_name: str, consumer: "FaustConsumer") -> None:
        """Hand to a consumer what is read for an agent."""
        self._consumers[agent_name] = consumer

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
        for name in ("faust", "mode"):
            logging.getLogger(name).setLevel(logging.WARNING)  # each of its parts tells its start
        conf.broker_max_poll_interval = POLL_INTERVAL_SECONDS
        conf.web_enabled = False
        conf.topic_disable_leader = True

    async def start(self) -> None:
        """Start the application, once for all its stages.

        Raises:
            ConfigurationError: an agent of it is no stage of this worker.
            BrokerError: it did not start.
        """
        if self._started is None:
            self._require_stages()
            self._started = asyncio.create_task(self.app.start())
        try:
            await asyncio.shield(self._started)
        except Exception as error:
            raise BrokerError(
                f"Faust application {self.name!r} did not start: {type(error).__name__}: {error}"
            ) from error
        self._running += 1

    async def stop(self, timeout_seconds: float) -> None:
        """Stop the application when the last of its stages has ended.

        After the deadline it is abandoned: what it holds is not committed, and is read again.
        """
        self._running -= 1
        if self._running > 0:
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.app.stop()
        except TimeoutError:
            log.warning(
                "Faust application %s did not stop within %g s, and is abandoned",
                self.name,
                timeout_seconds,
            )

    def require_running(self) -> None:
        """Require that the application has not crashed.

        Raises:
            StageError: it has.
        """
        if self.app.crashed:
            why = self.app.crash_reason
            raise StageError(
                f"Faust application {self.name!r} has crashed: {type(why).__name__}: {why};"
                " start the worker again",
                stage_id=self.name,
                original_error=why,
            )

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
        for consumer in self._consumers.values():
            await consumer.revoked()

    async def _assigned(self, _app: Any, **_: Any) -> None:
        """Give the stages their partitions; the tables have been restored."""
        held = frozenset(TopicPartition(*one) for one in self.app.consumer.assignment())
        for consumer in self._consumers.values():
            await consumer.assigned(held)


def _server(address: str) -> str:
    return address.replace("localhost", "127.0.0.1")
