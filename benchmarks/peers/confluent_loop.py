"""The loop that a good engineer writes by hand on confluent-kafka.

Consume a batch, validate, call the agent, encode, produce, flush, commit. librdkafka fetches and
sends in threads of its own meanwhile. Only failed deliveries are reported to Python.
"""

from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from benchmarks import agents
from benchmarks.measure import BATCH_RECORDS, Job, Meter, main
from benchmarks.peers import librdkafka

FLUSH_TIMEOUT_SECONDS = 120


def handle(job: Job, consumer: Any, producer: Any, failures: list[object], left: int) -> int:
    """One batch, from its fetch to its commit; how many records it had."""
    offsets: dict[int, int] = {}
    # It waits until it has so many, so the last batch must not ask for more than there are.
    fetched = consumer.consume(min(BATCH_RECORDS, left), timeout=1.0)
    for record in fetched:
        if (error := record.error()) is not None:
            raise KafkaException(error)
        value = agents.encode(agents.price(agents.validate(record.value())))
        producer.produce(job.output, value, record.key(), timestamp=record.timestamp()[1])
        offsets[record.partition()] = record.offset() + 1
    if not fetched:
        return 0
    if producer.flush(FLUSH_TIMEOUT_SECONDS) or failures:
        raise RuntimeError(f"not delivered: {failures or 'in time'}")
    consumer.commit(
        offsets=[TopicPartition(job.source, *reached) for reached in offsets.items()],
        asynchronous=False,
    )
    return len(fetched)


async def run(job: Job, meter: Meter) -> None:
    failures: list[object] = []
    common = {"bootstrap.servers": job.bootstrap_servers}
    consumer = Consumer(
        {
            **common,
            **librdkafka.CONSUMER,
            "group.id": job.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    producer = Producer(
        {
            **common,
            **librdkafka.PRODUCER,
            "delivery.report.only.error": True,
            "on_delivery": lambda error, _record: failures.append(error),
        }
    )
    consumer.subscribe([job.source], on_assign=lambda *_assigned: meter.assigned())
    try:
        done = 0
        while done < job.records:
            done += handle(job, consumer, producer, failures, job.records - done)
            meter.committed()
    finally:
        consumer.close()


if __name__ == "__main__":
    main(run)
