"""What the segments of a bundle share beside: one consumer, which is polled for all."""

from dataclasses import replace

from streamapp.brokers.shared.broker import SharedBroker
from streamapp.runtime.config import Environment

BUNDLED_FETCH_SECONDS = 1.0
"""Longest wait of a fetch in a bundle: with hundreds of segments, what wakes each of them now and
then without need is most of what a worker costs at rest."""


def bundled(environment: Environment) -> Environment:
    """The environment of the segments of one bundle."""
    seconds = max(environment.config.fetch_seconds, BUNDLED_FETCH_SECONDS)
    return replace(
        environment,
        broker=SharedBroker(environment.broker, environment.clock),
        config=replace(environment.config, fetch_seconds=seconds),
    )
