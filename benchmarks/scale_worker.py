"""A worker that works until it is ended: `python -m benchmarks.scale_worker '<job as JSON>'`."""

import asyncio
import json
import sys

from benchmarks.measure import Job
from benchmarks.streamapp_stage import COMMIT_INTERVAL_SECONDS, pipeline_of
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.settings import KafkaSettings

if __name__ == "__main__":
    told = Job(**json.loads(sys.argv[1]))
    service = Service(
        KafkaBroker(KafkaSettings(bootstrap_servers=told.bootstrap_servers)),
        [build(pipeline_of(told))],
        config=RuntimeConfig(commit_interval_seconds=COMMIT_INTERVAL_SECONDS),
    )
    asyncio.run(service.run())
