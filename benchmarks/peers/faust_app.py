"""Faust (faust-streaming): one agent, embedded in a process as its documentation shows.

The agent takes what is buffered, sends all of it and awaits the acknowledgements before it
acknowledges the events itself; one by one, without awaiting, it is a tenth slower. Faust's producer
is idempotent only with exactly-once, which it turns off without a word when it is embedded, so it
is not idempotent here. It is measured from its first batch.
"""

import asyncio
from typing import Any

import faust
import uvloop

from benchmarks import agents
from benchmarks.measure import BATCH_RECORDS, MAX_BATCH_BYTES, Job, Meter, main

LINGER_SECONDS = 0.05


async def run(job: Job, meter: Meter) -> None:
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap_servers}",
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        producer_max_batch_size=MAX_BATCH_BYTES,
        stream_buffer_maxsize=2 * BATCH_RECORDS,
        stream_wait_empty=False,
    )
    source = app.topic(job.source, key_serializer="raw", value_serializer="raw", value_type=bytes)
    output = app.topic(job.output, key_serializer="raw", value_serializer="raw", value_type=bytes)
    finished = asyncio.Event()

    async def handle(stream: Any) -> None:
        done = 0
        async for events in stream.take_events(BATCH_RECORDS, within=LINGER_SECONDS):
            meter.assigned()
            sent = [
                await output.send(key=event.key, value=agents.price_json(event.value))
                for event in events
            ]
            await asyncio.gather(*sent)
            done += len(events)
            if done == job.records:
                finished.set()

    app.agent(source)(handle)
    await app.start()
    await finished.wait()
    await app.consumer.commit()
    meter.committed()
    await app.stop()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    main(run)
