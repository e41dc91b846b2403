"""A producer whose batches get lost, and whose acknowledgements can be wrong."""

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.memory.producer import MemoryProducer
from streamapp.brokers.protocols import BatchBuilder
from streamapp.errors import BatchRefusedError, BrokerError
from streamapp.record import TopicPartition
from tests.simulation.faults import Fault
from tests.simulation.network import Wire

if TYPE_CHECKING:
    from tests.simulation.broker import ProcessBroker, SimulatedBroker

_LATE_SECONDS = 4.0
_ENDINGS = (
    Fault.BATCH_LOST,
    Fault.BATCH_LIED,
    Fault.BATCH_VANISHED,
    Fault.BATCH_SILENT,
    Fault.BATCH_LATE,
)


class SimulatedProducer:
    """Sends batches to the logs of the memory broker, over a wire for each partition.

    It is idempotent as on Kafka: when a batch was not written, later batches of this producer leave
    a gap in the sequence numbers and are refused, unless none was written before.

    Attributes:
        keeps_waiting: batches that it does not take, and whose senders wait for that.
    """

    def __init__(
        self, broker: "SimulatedBroker", inner: MemoryProducer, life: "ProcessBroker"
    ) -> None:
        line = life.line
        self.life = life
        self.process = line.process
        self._broker = broker
        self._inner = inner
        self._line = line
        self._wires: defaultdict[TopicPartition, Wire] = defaultdict(lambda: Wire(line))
        self._running = False
        self.keeps_waiting = 0
        self.create_batch = inner.create_batch
        self.partition_count = inner.partition_count

    async def start(self) -> None:
        await self._line.pass_over()
        if self._line.world.dice.strikes(Fault.PRODUCER_REFUSED):
            raise BrokerError("no producer id for now")
        await self._inner.start()
        self._running = True
        self._broker.checker.flushes.started(self)

    async def stop(self) -> None:
        """Close; batches that are on the wire still arrive."""
        self._running = False
        await self._line.pass_over()

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        dice = self._line.world.dice
        if not self._running:
            raise BrokerError("this producer is not running")
        assert isinstance(batch, MemoryBatch)
        batch.close()
        if dice.strikes(Fault.SEND_REFUSED):
            self._broker.checker.flushes.refused(self, TopicPartition(topic, partition), batch)
            raise BrokerError("no room for this batch")
        if dice.strikes(Fault.SEND_STUCK):
            await self._never_take(batch, TopicPartition(topic, partition))
        target = TopicPartition(topic, partition)
        ending = dice.one_of(*_ENDINGS)
        acknowledgement: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._broker.checker.flushes.sent(self, target, batch, acknowledgement)
        self._broker.trace(f"send {topic}[{partition}] {batch.record_count()}")
        delay = dice.seconds(_LATE_SECONDS) if ending is Fault.BATCH_LATE else 0.0
        self._wires[target].send(self._arrive, batch, target, ending, acknowledgement, delay=delay)
        return acknowledgement

    async def _never_take(self, batch: MemoryBatch, target: TopicPartition) -> None:
        """Keep the batch waiting, as a client does that has no room for it."""
        self._broker.checker.flushes.stuck(self, target, batch)
        self.keeps_waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.keeps_waiting -= 1

    def _arrive(
        self,
        batch: MemoryBatch,
        target: TopicPartition,
        ending: Fault | None,
        acknowledgement: "asyncio.Future[object]",
    ) -> None:
        world, inner = self._line.world, self._inner
        refusal = self._refusal(batch, target, ending)
        base: object = None
        if refusal is not None:
            inner._broken.add(target)
            self._broker.checker.not_written(target, batch)
        else:
            inner._written.add(target)
            base = self._broker.append(target, batch)
            if ending is Fault.BATCH_LIED:
                refusal = BrokerError("the answer says that it failed")
        if ending not in (Fault.BATCH_VANISHED, Fault.BATCH_SILENT):
            back = world.dice.seconds(world.latency_seconds)
            world.later(back, _answer, acknowledgement, base, refusal)

    def _refusal(
        self, batch: MemoryBatch, target: TopicPartition, ending: Fault | None
    ) -> BrokerError | None:
        if self._broker.refuses(target.topic):
            return BrokerError(f"{target} takes nothing for now")
        if ending in (Fault.BATCH_LOST, Fault.BATCH_VANISHED):
            return BrokerError("the batch got lost")
        if self._broker.checker.refuses(target.topic, batch):
            self._line.world.dice.note(Fault.RECORD_REFUSED)
            return BatchRefusedError("one of the records is not taken")
        return self._inner._refusal(batch, target)


def _answer(
    acknowledgement: "asyncio.Future[object]", base: object, refusal: BrokerError | None
) -> None:
    if acknowledgement.done():
        return
    if refusal is None:
        acknowledgement.set_result(base)
    else:
        acknowledgement.set_exception(refusal)
