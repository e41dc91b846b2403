"""A broker whose consumers are one member of one group."""

from streamapp.brokers.compression import Compression
from streamapp.brokers.protocols import (
    Admin,
    Broker,
    ConsumerConfig,
    Producer,
    ProducerConfig,
    RebalanceListener,
)
from streamapp.brokers.shared.member import SharedMember
from streamapp.brokers.shared.view import View
from streamapp.clock import Clock


class SharedBroker:
    """Makes views of one member of a group; producers and admin clients are those of the broker.

    All views have to be made before the first one starts; later only in the place of one that has
    left.

    Args:
        broker: has the topics.
        clock: the time.
    """

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._member = SharedMember(broker, clock)

    @property
    def compression(self) -> Compression | None:
        """How producers compress batches; `None` for not at all."""
        return self._broker.compression

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> View:
        """A view of the member for the topics of this configuration, which nobody else reads."""
        return View(self._member, config, listener)

    def producer(self, config: ProducerConfig) -> Producer:
        """A new producer."""
        return self._broker.producer(config)

    def admin(self) -> Admin:
        """A new admin client."""
        return self._broker.admin()
