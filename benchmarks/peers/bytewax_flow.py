"""Bytewax: one dataflow from topic to topic, in one worker.

It is measured from its first batch, since it tells nobody of its assignment, to its end. It joins
no group and commits nothing: with a recovery store, which is not used here, it keeps offsets there.
"""

from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

from benchmarks import agents
from benchmarks.measure import BATCH_RECORDS, Job, Meter, main
from benchmarks.peers import librdkafka


async def run(job: Job, meter: Meter) -> None:
    servers = [job.bootstrap_servers]
    flow = Dataflow(job.group)
    source = KafkaSource(
        servers,
        [job.source],
        tail=False,
        add_config={name: str(value) for name, value in librdkafka.CONSUMER.items()},
        batch_size=BATCH_RECORDS,
    )
    sink = KafkaSink(
        servers,
        job.output,
        add_config={name: str(value) for name, value in librdkafka.PRODUCER.items()},
    )

    def handle(records: list[Any]) -> list[Any]:
        meter.assigned()
        return [KafkaSinkMessage(record.key, agents.price_json(record.value)) for record in records]

    fetched = op.input("fetch", flow, source)
    priced = op.flat_map_batch("price", fetched, handle)
    op.output("write", priced, sink)
    run_main(flow)
    meter.committed()


if __name__ == "__main__":
    main(run)
