"""What a Faust application has sent counts as sent when Kafka has it."""

import asyncio
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.exceptions import ProducerSendError
from faust.streams import _current_event
from faust.transport.drivers.aiokafka import Producer

from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import BrokerError, RecordTooLargeError
from streamapp.faust_adapter.sends import Sends, WatchedProducer, watch_sends

Answer = asyncio.Future[Any]


def answer() -> Answer:
    return asyncio.get_running_loop().create_future()


async def test_only_what_was_sent_before_is_waited_for() -> None:
    sends = Sends()
    early, late = answer(), answer()
    sends.add("a", early)
    waiting = asyncio.create_task(sends.wait())
    await asyncio.sleep(0)
    sends.add("a", late)
    early.set_result(None)
    await waiting
    assert not late.done()


async def test_the_first_failure_is_told_and_stays() -> None:
    sends = Sends()
    for topic, error in (("a", OSError("no")), ("b", OSError("never"))):
        failing = answer()
        sends.add(topic, failing)
        failing.set_exception(error)
        await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(BrokerError, match=r"could not write to a: OSError\('no'\)"):
            await sends.wait()


async def test_what_is_given_up_is_not_taken_for_written() -> None:
    sends = Sends()
    given_up = answer()
    sends.add("a", given_up)
    given_up.cancel()
    with pytest.raises(BrokerError, match="could not write to a: it was given up"):
        await sends.wait()


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> WatchedProducer:
    """The producer of an application, which does not send."""
    app = faust.App("shop", broker="kafka://127.0.0.1:9092")
    watch_sends(app)
    watch_sends(app)  # once for each of its stages
    assert isinstance(app.producer, WatchedProducer)

    async def send(_producer: Producer, _topic: str, key: Any, *_: Any, **__: Any) -> Answer:
        if key is not None:
            raise ProducerSendError("too large")
        future = answer()
        future.set_exception(OSError("refused"))
        return future

    monkeypatch.setattr(Producer, "send", send)
    return app.producer


async def test_a_message_that_is_refused_is_noted_whoever_sends_it(
    producer: WatchedProducer,
) -> None:
    with pytest.raises(OSError, match="refused"):
        await (await producer.send("totals", None, b"", None, None, None))
    with pytest.raises(BrokerError, match=r"could not write to totals: OSError\('refused'\)"):
        await producer.sends.wait()


async def test_so_is_one_that_cannot_be_sent(producer: WatchedProducer) -> None:
    with pytest.raises(ProducerSendError):
        await producer.send("totals", b"k", b"", None, None, None)
    assert producer.sends.failure == "could not write to totals: ProducerSendError('too large')"


async def test_who_waits_for_a_message_decides_what_its_failure_means(
    producer: WatchedProducer,
) -> None:
    with pytest.raises(OSError, match="refused"):
        await producer.send_and_wait("totals", None, b"", None, None, None)
    assert producer.sends.failure is None


class Event:
    """Plays what an agent works on."""


@contextmanager
def at_work() -> Iterator[None]:
    """As an agent is while it works on an event."""
    event: Any = Event()
    token = _current_event.set(weakref.ref(event))
    try:
        yield
    finally:
        _current_event.reset(token)


async def know(producer: WatchedProducer, topic: str, max_bytes: int) -> list[str]:
    """Let the broker answer with this limit; what it was asked for."""
    asked: list[str] = []

    async def look_up(names: Collection[str]) -> Mapping[str, TopicDescription]:
        asked.extend(names)
        config = {"max.message.bytes": str(max_bytes), "cleanup.policy": "delete"}
        return {topic: TopicDescription(topic, 1, 1, config)}

    producer.limits.look_up = look_up
    batches = SimpleNamespace(_batch_size=16_384)
    producer._producer = SimpleNamespace(_message_accumulator=batches)
    return asked


async def test_a_change_that_is_too_large_is_not_sent_and_ends_nothing(
    producer: WatchedProducer,
) -> None:
    await know(producer, "totals", 500)
    await producer.learn(["totals"])
    topic = producer.app.topic("totals")
    topic.send_soon(key=b"a", value=b"x")
    with pytest.raises(RecordTooLargeError, match=r"its max\.message\.bytes is 500"):
        topic.send_soon(key=b"a", value=b"x" * 500)
    assert producer.buffer.size == 1
    assert producer.sends.failure is None


async def test_no_batch_of_several_changes_is_larger_than_a_topic_takes(
    producer: WatchedProducer,
) -> None:
    await know(producer, "totals", 500)
    await producer.learn(["totals"])
    assert producer._ensure_producer()._message_accumulator._batch_size == 500


async def test_what_an_agent_sends_and_is_too_large_is_a_failure_of_its_attempt(
    producer: WatchedProducer,
) -> None:
    asked = await know(producer, "mails", 500)
    for _ in range(2):
        with at_work(), pytest.raises(RecordTooLargeError, match="'mails'"):
            await producer.send("mails", None, b"x" * 500, None, None, None)
    assert producer.sends.failure is None
    assert asked == ["mails"]


async def test_a_buffered_message_that_is_too_large_after_all_is_not_taken_for_written(
    producer: WatchedProducer,
) -> None:
    await know(producer, "mails", 500)
    await producer.learn(["mails"])
    with pytest.raises(RecordTooLargeError):
        await producer.send("mails", None, b"x" * 500, None, None, None)
    assert "could not write to mails: RecordTooLargeError" in str(producer.sends.failure)
