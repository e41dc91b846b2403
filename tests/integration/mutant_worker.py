"""A worker with a planted bug: it commits what was admitted, finished or not.

Run as `python -m tests.integration.mutant_worker SERVERS`.
"""

import asyncio
import sys

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig
from streamapp.runtime.frontier import Frontier
from streamapp.service import Service
from streamapp.settings import KafkaSettings
from tests.playback import pipeline

# All the time, so that the loss does not depend on when the kill comes.
COMMIT_INTERVAL_SECONDS = 0.02


def plant() -> None:
    """Commit before the acknowledgement."""
    Frontier.offset = property(lambda frontier: frontier._next)  # type: ignore[method-assign, assignment]  # the bug


if __name__ == "__main__":
    plant()
    config = RuntimeConfig(commit_interval_seconds=COMMIT_INTERVAL_SECONDS)
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=sys.argv[1]))
    asyncio.run(Service(broker, [build(pipeline())], config=config).run())
