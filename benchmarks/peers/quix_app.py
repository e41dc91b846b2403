"""Quix Streams: one dataframe from topic to topic, at least once.

It is measured from its first record, since it tells nobody of its assignment. It flushes and
commits by time (its default, 5 s) and at its end.
"""

from quixstreams import Application

from benchmarks import agents
from benchmarks.measure import Job, Meter, main
from benchmarks.peers import librdkafka


async def run(job: Job, meter: Meter) -> None:
    app = Application(
        broker_address=job.bootstrap_servers,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        consumer_extra_config=librdkafka.CONSUMER,
        producer_extra_config=librdkafka.PRODUCER,
        loglevel="WARNING",
    )
    source = app.topic(job.source, key_deserializer="bytes", value_deserializer="bytes")
    output = app.topic(job.output, key_serializer="bytes", value_serializer="bytes")

    def handle(value: bytes) -> bytes:
        meter.assigned()
        return agents.price_json(value)

    app.dataframe(source).apply(handle).to_topic(output)
    app.run(count=job.records, collect=False)
    meter.committed()


if __name__ == "__main__":
    main(run)
