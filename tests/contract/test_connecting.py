"""Starting against a broker that is not there, and reading a topic that is not."""

import pytest

from streamapp.brokers.protocols import Admin, Consumer, Producer, ProducerConfig
from streamapp.errors import BrokerError, TopicError
from tests.contract.harness import Listener, Subject, group_of


@pytest.mark.parametrize("kind", ["admin", "producer", "consumer"])
async def test_an_unreachable_broker_is_an_error_with_its_address(
    subject: Subject, kind: str
) -> None:
    broker = subject.unreachable
    clients: dict[str, Admin | Producer | Consumer] = {
        "admin": broker.admin(),
        "producer": broker.producer(ProducerConfig()),
        "consumer": broker.consumer(group_of("any"), Listener()),
    }
    with pytest.raises(BrokerError, match=subject.unreachable_address):
        await clients[kind].start()
    await clients[kind].stop()


async def test_subscribing_to_a_missing_topic_is_an_error(subject: Subject) -> None:
    consumer = subject.broker.consumer(group_of("no-such-topic"), Listener())
    with pytest.raises(TopicError, match="'no-such-topic' does not exist"):
        await consumer.start()
    await consumer.stop()


async def test_a_consumer_that_is_not_started_refuses_to_fetch(subject: Subject) -> None:
    consumer = subject.broker.consumer(group_of("any"), Listener())
    with pytest.raises(BrokerError, match="not running"):
        await consumer.fetch((), max_records=1, timeout_seconds=0)


async def test_stopping_twice_is_fine(subject: Subject) -> None:
    topic = await subject.topic()
    async with subject.member(group_of(topic)) as consumer:
        pass
    await consumer.stop()
    async with subject.producer() as producer:
        pass
    await producer.stop()
