"""Pathway: one table from topic to topic, up to what the topic held at the start.

It is measured from its first batch, after it has read that, to its end. What it read together
leaves in no order; `sort_by` would give one, at a price.
"""

import pathway as pw

from benchmarks import agents
from benchmarks.measure import BATCH_RECORDS, Job, Meter, main
from benchmarks.peers import librdkafka


async def run(job: Job, meter: Meter) -> None:
    common = {"bootstrap.servers": job.bootstrap_servers}
    consumer = {name: str(value) for name, value in librdkafka.CONSUMER.items()}
    producer = {name: str(value) for name, value in librdkafka.PRODUCER.items()}
    source = pw.io.kafka.read(
        {**common, **consumer, "group.id": job.group, "auto.offset.reset": "earliest"},
        job.source,
        format="raw",
        mode="static",
        autogenerate_key=True,
        autocommit_duration_ms=100,
    )

    def handle(values: list[bytes]) -> list[bytes]:
        meter.assigned()
        return [agents.price_json(value) for value in values]

    price = pw.udf(handle, return_type=bytes, max_batch_size=BATCH_RECORDS, deterministic=True)
    priced = source.select(key=source.key, value=price(source.data))
    pw.io.kafka.write(
        priced, {**common, **producer}, job.output, format="raw", key=priced.key, value=priced.value
    )
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    meter.committed()


if __name__ == "__main__":
    main(run)
