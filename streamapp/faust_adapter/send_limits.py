"""Refuses what Kafka would refuse, before Faust sends it: then it is the fault of one record.

Faust writes changes of tables without waiting. When Kafka refuses one, the table in memory has what
its changelog lacks, and the worker has to end; with the record that wants the change, it would end
at each start. Refused before, the change is in neither, and the policy of the stage decides.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streamapp.brokers.compression import (
    BATCH_HEADER_BYTES,
    Compression,
    compress_to_fit,
    encoded_records,
)
from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import EncodeError, RecordTooLargeError, StreamappError
from streamapp.record import Headers

log = logging.getLogger(__name__)

LookUp = Callable[[Collection[str]], Awaitable[Mapping[str, TopicDescription]]]
"""Asks the broker for topics; those that do not exist are left out."""


class SendLimits:
    """What the topics of an application take, and its client.

    Args:
        max_request_bytes: what the client sends at most, `producer_max_request_size` of Faust.
        compression: how the client compresses batches; `None` for not at all.

    Attributes:
        look_up: asks the broker; `None` as long as nobody has said how.
    """

    def __init__(self, max_request_bytes: int, compression: Compression | None) -> None:
        self._max_request_bytes = max_request_bytes
        self._compression = compression
        self._topics: dict[str, TopicDescription | None] = {}
        self.look_up: LookUp | None = None

    @property
    def smallest_bytes(self) -> int:
        """The smallest limit of a known topic: no batch of several records may be larger."""
        known = (topic.max_message_bytes for topic in self._topics.values() if topic is not None)
        return min(known, default=self._max_request_bytes)

    def knows(self, topic: str) -> bool:
        """Whether the broker was asked for a topic."""
        return topic in self._topics

    async def learn(self, names: Collection[str]) -> None:
        """Ask the broker what topics take now; without an answer, what is known stays."""
        if self.look_up is None or not names:
            return
        try:
            found = await self.look_up(names)
        except (StreamappError, TimeoutError) as error:
            log.warning("what %s take is not known: %s", ", ".join(sorted(names)), error)
            return
        self._topics |= {name: found.get(name) for name in names}

    def require(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Refuse what would not be written.

        Raises:
            RecordTooLargeError: it is larger than its topic takes, or than the client sends.
            EncodeError: it has no key, and its topic needs one.
        """
        estimated: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers))
        if estimated > self._max_request_bytes:
            raise RecordTooLargeError(
                f"a change of {len(value or b'')} bytes is too large to be sent to topic {topic!r}:"
                f" producer_max_request_size of Faust is {self._max_request_bytes}"
            )
        known = self._topics.get(topic)
        if known is None:
            return
        if key is None and known.needs_keys:
            raise EncodeError(f"a change for topic {topic!r} has no key, but the topic needs one")
        most = known.max_message_bytes
        if estimated > most and not self._takes_exactly(most, key, value, headers):
            raise RecordTooLargeError(
                f"a change of {len(value or b'')} bytes is too large for topic {topic!r}: its"
                f" max.message.bytes is {most}"
            )

    def _takes_exactly(
        self, max_bytes: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> bool:
        """Whether a batch with this record alone is small enough as the client sends it."""
        records = encoded_records([(0, key, value, headers)])
        if len(records) + BATCH_HEADER_BYTES <= max_bytes:
            return True
        codecs = [] if self._compression is None else [self._compression]
        return compress_to_fit(codecs, records, max_bytes) is not None
