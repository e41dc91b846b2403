"""The function of an agent that stands for a Faust agent."""

from types import NoneType
from typing import Any

import faust
from faust.exceptions import DecodeError as FaustDecodeError
from faust.exceptions import PartitionsMismatch
from pydantic import TypeAdapter

from streamapp.errors import DecodeError, PipelineError, Transient
from streamapp.faust_adapter.consumer import FaustConsumer
from streamapp.faust_adapter.conversation import Conversation
from streamapp.faust_adapter.embedded_app import EmbeddedApp
from streamapp.faust_adapter.faust_reader import FaustReader
from streamapp.faust_adapter.faust_record import FaustRecord
from streamapp.pipeline.context import Context


class FaustFunction:
    """What the runtime calls with a record: it gives it to the function of a Faust agent.

    Args:
        agent: the agent; Faust runs it with another function once a consumer reads for it.
        embedded: its application.
        gives: type of what it yields; `NoneType` for nothing.

    Attributes:
        reader: reads the topics of its stage.
        consumer: the consumer of its stage, once there is one.
    """

    def __init__(self, agent: Any, embedded: EmbeddedApp, gives: Any) -> None:
        self._agent = agent
        self._embedded = embedded
        self._gives = None if gives is NoneType else TypeAdapter(gives)
        self._conversation = Conversation(agent.name, agent.fun)
        self._topic = agent.channel
        self.reader = FaustReader(agent, embedded, self._read_by)
        self.consumer: FaustConsumer | None = None
        self.__wrapped__ = agent.fun  # whose module has to be allowed in a configuration file

    async def open(self) -> None:
        """Run the agent's function until it asks for its first record."""
        await self._conversation.begin()

    async def close(self) -> None:
        """End the agent's function."""
        await self._conversation.end()

    async def __call__(self, _value: bytes | None, context: Context) -> list[Any]:
        """Let the agent work on a record.

        Raises:
            PipelineError: the record was not read by Faust.
            DecodeError: the schema of its topic cannot read the record.
            Transient: a table has other partitions than the topic, which is no record's fault.
        """
        record = context.record
        if not isinstance(record, FaustRecord):
            raise PipelineError(
                f"the Faust agent {self._agent.name!r} works on what its application reads from"
                " Kafka; it cannot be executed in process, nor on the memory broker"
            )
        try:
            event = await self._topic.decode(record.message, propagate=True)
        except FaustDecodeError as error:
            raise DecodeError(f"Faust cannot decode the record: {error}") from error
        try:
            found = await self._conversation.work_on(event)
        except PartitionsMismatch as error:
            # Faust looks once, so the worker has to end; until then, the record is not at fault.
            why = " ".join(str(error).split())
            self._embedded.sends.failed("a table", why)
            raise Transient(why) from error
        return [self._output(value) for value in found]

    def _output(self, value: Any) -> Any:
        if self._gives is None:
            raise PipelineError(
                f"the Faust agent {self._agent.name!r} yields {type(value).__name__}, and nothing"
                " is declared: give the type as faust_agent(agent, gives=...)"
            )
        return self._gives.validate_python(value.asdict()) if _is_record(value) else value

    def _read_by(self, consumer: FaustConsumer) -> None:
        """Take the place of the agent's function; only now, so that declaring changes nothing."""
        self.consumer = consumer
        # Faust would decode what it reads before anybody can tell what becomes of bytes that are
        # wrong. So it reads bytes, and each record is decoded when it is worked on.
        self._agent._channel = _raw(self._agent.app, self._topic)  # noqa: SLF001 - there is no public way
        self._agent.fun = self._hand_over

    async def _hand_over(self, stream: Any) -> None:
        """Run by Faust in the place of the agent's function: hands what was read to the stage."""
        async for event in stream.channel:
            if self.consumer is not None:
                await self.consumer.take(event.message)


def _raw(app: Any, topic: Any) -> Any:
    """The topic, read as bytes.

    Without acknowledgements: an agent may acknowledge an event by itself, and Faust would commit it
    although the stage has not finished it.
    """
    return app.topic(
        *topic.topics,
        acks=False,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        allow_empty=True,
    )


def _is_record(value: Any) -> bool:
    return isinstance(value, faust.Record)
