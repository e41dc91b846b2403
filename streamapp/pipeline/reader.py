"""Readers: what reads the topics of a stage in place of a consumer of the broker."""

from typing import Protocol, runtime_checkable

from streamapp.brokers.protocols import Broker


class Reader(Protocol):
    """Another library that reads the topics of one stage, because its agent needs it to.

    The stage runs like any other, behind the consumers that `broker` makes. It handles one record
    at a time, in the order of each partition.
    """

    @property
    def in_words(self) -> str:
        """What reads, and what for, such as `Faust application 'orders'`."""

    @property
    def group(self) -> str:
        """The consumer group, which the other library has named."""

    @property
    def topics(self) -> frozenset[str]:
        """Names of the topics that it reads."""

    def broker(self, broker: Broker) -> Broker:
        """The broker with consumers of the other library.

        Raises:
            ConfigurationError: the other library cannot read from this broker.
        """


@runtime_checkable
class HasReader(Protocol):
    """The function of an agent whose stage is read by another library."""

    @property
    def reader(self) -> Reader:
        """What reads."""
