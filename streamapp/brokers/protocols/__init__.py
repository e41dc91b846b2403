"""What the runtime needs of a broker: consumer, producer, admin.

Two brokers implement these protocols, `memory` and `kafka`; both pass the tests in tests/contract.
Every call may raise `streamapp.errors.BrokerError`. A call that may wait long takes a timeout.
"""

from streamapp.brokers.protocols.admin import Admin
from streamapp.brokers.protocols.broker import Broker, ReadingBroker, TransactionalBroker
from streamapp.brokers.protocols.consumer import (
    CLIENT_ID,
    Consumer,
    ConsumerConfig,
    RebalanceListener,
)
from streamapp.brokers.protocols.fetched import FetchedRecords
from streamapp.brokers.protocols.group import (
    MAX_COMMIT_METADATA_BYTES,
    CommittedOffset,
    GroupMember,
)
from streamapp.brokers.protocols.partition_reader import PartitionReader
from streamapp.brokers.protocols.producer import BatchAppend, BatchBuilder, Producer, ProducerConfig
from streamapp.brokers.protocols.topic import TopicDescription, TopicSpec
from streamapp.brokers.protocols.transactional_producer import OutgoingRecord, TransactionalProducer

__all__ = [
    "CLIENT_ID",
    "MAX_COMMIT_METADATA_BYTES",
    "Admin",
    "BatchAppend",
    "BatchBuilder",
    "Broker",
    "CommittedOffset",
    "Consumer",
    "ConsumerConfig",
    "FetchedRecords",
    "GroupMember",
    "OutgoingRecord",
    "PartitionReader",
    "Producer",
    "ProducerConfig",
    "ReadingBroker",
    "RebalanceListener",
    "TopicDescription",
    "TopicSpec",
    "TransactionalBroker",
    "TransactionalProducer",
]
