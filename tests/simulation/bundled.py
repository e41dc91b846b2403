"""Tells the checker what segments of a bundle ask for, before it goes into a joint request."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from streamapp.brokers.protocols import CommittedOffset
from streamapp.brokers.shared.view import View
from streamapp.record import TopicPartition
from tests.simulation.consumer import SimulatedConsumer


@contextmanager
def commits_of_views_noted() -> Iterator[None]:
    """Let the checker know of each commit that a view is asked for, at that moment."""
    original = View.commit

    async def commit(self: View, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        consumer = self._consumer
        assert isinstance(consumer, SimulatedConsumer)
        consumer.note_commit(offsets)
        await original(self, offsets)

    View.commit = commit  # type: ignore[method-assign]  # restored below
    try:
        yield
    finally:
        View.commit = original  # type: ignore[method-assign]  # as it was
