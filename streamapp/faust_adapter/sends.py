"""Knows whether Kafka has what a Faust application has sent: changes of tables, above all.

Faust writes them without waiting. It logs that one was refused, and its consumer would commit the
record that has made the change, so that the table has lost it after the next restart.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from faust.streams import current_event
from faust.transport.drivers.aiokafka import Producer

from streamapp.brokers.compression import Compression
from streamapp.errors import BrokerError, ConfigurationError, RecordError
from streamapp.faust_adapter.send_limits import SendLimits
from streamapp.record import Headers

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
        limits: what it refuses to send.
    """

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        conf = transport.app.conf
        codec = conf.producer_compression_type
        self.sends = Sends()
        self.limits = SendLimits(
            conf.producer_max_request_size, None if codec is None else Compression(codec)
        )
        super().__init__(transport, *args, **kwargs)

    async def learn(self, topics: Collection[str]) -> None:
        """Learn what topics take, so that what they would refuse is not sent."""
        await self.limits.learn(topics)
        batches = self._ensure_producer()._message_accumulator  # noqa: SLF001 - there is no public way
        batches._batch_size = min(batches._batch_size, self.limits.smallest_bytes)  # noqa: SLF001 - the same

    def send_soon(self, fut: Any) -> None:
        """Send a message from the buffer, such as a change of a table.

        Raises:
            RecordError: its topic would refuse it; it is not sent.
        """
        message = fut.message
        self.limits.require(
            message.channel.get_topic_name(), message.key, message.value, _listed(message.headers)
        )
        self.sends.add(str(message.channel), fut)
        super().send_soon(fut)

    async def send(
        self, topic: str, key: Any, value: Any, partition: Any, timestamp: Any, headers: Any,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Send a message; its acknowledgement is returned.

        Raises:
            RecordError: its topic would refuse it; it is not sent.
        """
        is_of_agent = current_event() is not None
        if is_of_agent and not self.limits.knows(topic):
            await self.learn([topic])
        try:
            self.limits.require(topic, key, value, _listed(headers))
            answer = await super().send(topic, key, value, partition, timestamp, headers, **kwargs)
        except Exception as error:
            # What an agent sends itself, and is not sent, is a failure of its attempt.
            if not (is_of_agent and isinstance(error, RecordError)):
                self.sends.failed(topic, repr(error))
            raise
        self.sends.add(topic, asyncio.ensure_future(answer))
        return answer

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> Any:
        """Send a message and wait; who called knows of a failure, and decides what it means."""
        return await (await super().send(*args, **kwargs))


def _listed(headers: Any) -> Headers:
    """Headers as Kafka's client takes them; Faust has them in a mapping as well."""
    return list(headers.items() if isinstance(headers, Mapping) else headers or ())


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
