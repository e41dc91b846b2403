"""Knows whether Kafka has what a Faust application has sent: changes of tables, above all.

Faust writes them without waiting. It logs that one was refused, and its consumer would commit the
record that has made the change, so that the table has lost it after the next restart.
"""

import asyncio
from typing import Any

from faust.transport.drivers.aiokafka import Producer

from streamapp.errors import BrokerError, ConfigurationError

LOOK_SECONDS = 1.0
"""Longest wait between two looks for a failure of what is not waited for itself."""


class Sends:
    """What was sent and not acknowledged yet.

    Attributes:
        failure: what could not be written, and why, as a clause; `None` if all could be. There is
            no way back: tables in memory have what their changelogs lack.
    """

    def __init__(self) -> None:
        self.failure: str | None = None
        self._unacknowledged: set[asyncio.Future[Any]] = set()

    def add(self, topic: str, answer: "asyncio.Future[Any]") -> None:
        """Watch one until it is acknowledged, or refused."""

        def ended(future: "asyncio.Future[Any]") -> None:
            self._unacknowledged.discard(future)
            if future.cancelled():
                self.failed(topic, "it was given up")
            elif (error := future.exception()) is not None:
                self.failed(topic, repr(error))

        self._unacknowledged.add(answer)
        answer.add_done_callback(ended)

    def failed(self, topic: str, why: str) -> None:
        """Note that one was not written; the first failure is told."""
        if self.failure is None:
            self.failure = f"could not write to {topic}: {why}"

    async def wait(self) -> None:
        """Wait until all is acknowledged that was sent before; set a deadline around this.

        Raises:
            BrokerError: something was not written, now or before.
        """
        left = set(self._unacknowledged)
        while left and self.failure is None:
            _, left = await asyncio.wait(
                left, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION
            )
            await asyncio.sleep(0)  # how one has ended is noted by a callback
        if self.failure is not None:
            raise BrokerError(self.failure)


class WatchedProducer(Producer):
    """Faust's producer, which notes what becomes of each message.

    Attributes:
        sends: what it knows.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sends = Sends()
        super().__init__(*args, **kwargs)

    def send_soon(self, fut: Any) -> None:
        """Send a message from the buffer, such as a change of a table."""
        self.sends.add(str(fut.message.channel), fut)
        super().send_soon(fut)

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Send a message; its acknowledgement is returned."""
        try:
            answer = await super().send(topic, *args, **kwargs)
        except Exception as error:
            self.sends.failed(topic, repr(error))
            raise
        self.sends.add(topic, asyncio.ensure_future(answer))
        return answer

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> Any:
        """Send a message and wait; who called knows of a failure, and decides what it means."""
        return await (await super().send(*args, **kwargs))


# Faust would give it a logger of its own, whose level nobody has set.
WatchedProducer.logger = Producer.logger


def watch_sends(app: Any) -> None:
    """Let an application note what becomes of what it sends; before it starts.

    Raises:
        ConfigurationError: it sends by a producer of its own.
    """
    transport = app.transport
    is_made = app._producer is not None and not isinstance(app._producer, WatchedProducer)  # noqa: SLF001 - reading it would make one
    if is_made or transport.Producer not in (Producer, WatchedProducer):
        raise ConfigurationError(
            f"Faust application {app.conf.id!r} sends by a producer of its own, of which nobody"
            " knows when its tables are written; take it out"
        )
    transport.Producer = WatchedProducer
