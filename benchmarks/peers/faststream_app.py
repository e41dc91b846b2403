"""FastStream on aiokafka: one by one (mode `single`), or in batches (mode `batch`).

Offsets are committed after the publish is acknowledged, as manual acknowledgement has it.
"""

import asyncio
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from benchmarks import agents
from benchmarks.measure import (
    BATCH_RECORDS,
    FETCH_MAX_WAIT_MS,
    MAX_BATCH_BYTES,
    MAX_FETCH_BYTES,
    MAX_PARTITION_FETCH_BYTES,
    Job,
    Meter,
    main,
)


class Stage:
    """What is called for a record or a batch."""

    def __init__(self, broker: Any, job: Job, meter: Meter) -> None:
        self._broker = broker
        self._job = job
        self._meter = meter
        self._done = 0
        self.finished = asyncio.Event()

    async def single(self, message: Any) -> None:
        """One record: publish, await the acknowledgement, commit."""
        self._meter.assigned()
        value = agents.price_json(message.body)
        await self._broker.publish(value, topic=self._job.output, key=message.raw_message.key)
        await self._ended(message, 1)

    async def batch(self, message: Any) -> None:
        """Many records: publish each without waiting, await all acknowledgements, commit."""
        self._meter.assigned()
        sent = [
            await self._broker.publish(
                agents.price_json(record.value),
                topic=self._job.output,
                key=record.key,
                no_confirm=True,
            )
            for record in message.raw_message
        ]
        await asyncio.gather(*sent)
        await self._ended(message, len(sent))

    async def _ended(self, message: Any, records: int) -> None:
        await message.ack()
        self._meter.committed()
        self._done += records
        if self._done == self._job.records:
            self.finished.set()


async def as_it_came(message: Any) -> Any:
    """Nothing is decoded twice: the agent validates the bytes."""
    return message


async def run(job: Job, meter: Meter) -> None:
    broker = KafkaBroker(
        job.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        max_batch_size=MAX_BATCH_BYTES,
        apply_types=False,
        decoder=as_it_came,
        logger=None,  # else two lines for each record
    )
    stage = Stage(broker, job, meter)
    subscriber = broker.subscriber(
        job.source,
        group_id=job.group,
        batch=job.mode == "batch",
        max_records=BATCH_RECORDS,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        isolation_level="read_committed",
        fetch_max_bytes=MAX_FETCH_BYTES,
        max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
    )
    subscriber(stage.batch if job.mode == "batch" else stage.single)
    await broker.start()
    await stage.finished.wait()
    await broker.stop()


if __name__ == "__main__":
    main(run)
