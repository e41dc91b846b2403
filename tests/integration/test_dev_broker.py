from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.kafka import Kafka


async def test_a_record_written_to_the_session_broker_is_read_back(kafka: Kafka) -> None:
    topic = await kafka.create_topic("there-and-back")
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer,
        AIOKafkaConsumer(
            topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer,
    ):
        await producer.send_and_wait(topic, b"value", key=b"key")
        record = await consumer.getone()
    assert (record.key, record.value) == (b"key", b"value")
