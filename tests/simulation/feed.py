"""Writes the records of a scenario to its source topics while it runs."""

import random
from collections.abc import Sequence

from streamapp.brokers.memory.batch import Entry
from streamapp.brokers.protocols import TopicSpec
from streamapp.record import CONTEXT_HEADER, Headers, TopicPartition
from tests.simulation.broker import SimulatedBroker
from tests.simulation.faults import Fault
from tests.simulation.history import long_history
from tests.simulation.loop import VirtualClock
from tests.simulation.scenario import Scenario

_NULL_KEYS = 0.05
_HEADERS = 0.8


async def feed(broker: SimulatedBroker, scenario: Scenario, clock: VirtualClock) -> None:
    """Write all records; in some runs half of them at the start."""
    sources, numbers = scenario.sources, list(range(scenario.records))
    of_later = round(scenario.records * sources.later_share)
    first, later = numbers[: len(numbers) - of_later], numbers[len(numbers) - of_later :]
    rng = random.Random(f"feed {scenario.seed}")
    at_once = len(first) // 2 if rng.random() < 0.5 else 0
    span = scenario.seconds * rng.choice((0.1, 0.4, 0.8))
    if scenario.feeds_evenly:
        at_once, span = 0, scenario.seconds
    began = clock.monotonic()
    feeder = _Feeder(broker, scenario, clock, rng)
    await feeder.write(sources.at_first, first, span, at_once)
    if sources.later is None:
        return
    await clock.sleep(max(0.0, began + sources.appears_at - clock.monotonic()))
    await broker.admin().create_topics([TopicSpec(sources.later, scenario.partitions)])
    broker.world.dice.note(Fault.NEW_TOPIC, sources.later)
    await feeder.write((*sources.at_first, sources.later), later, 0.2 * scenario.seconds, 0)


class _Feeder:
    """Writes records, some at a time."""

    def __init__(
        self, broker: SimulatedBroker, scenario: Scenario, clock: VirtualClock, rng: random.Random
    ) -> None:
        self._broker = broker
        self._scenario = scenario
        self._clock = clock
        self._rng = rng

    async def write(
        self, topics: Sequence[str], numbers: Sequence[int], span: float, at_once: int
    ) -> None:
        """Write these records to the topics within about `span` seconds."""
        rng, left = self._rng, list(numbers)
        while left:
            size = at_once or rng.randint(1, 4 if self._scenario.feeds_evenly else 12)
            at_once = 0
            for number in left[:size]:
                self._write_one(topics, number)
            del left[:size]
            pause = span * size / self._scenario.records
            await self._clock.sleep(rng.uniform(0.0, 2 * pause))

    def _write_one(self, topics: Sequence[str], number: int) -> None:
        scenario, rng = self._scenario, self._rng
        key = None if rng.random() < _NULL_KEYS else b"k%d" % rng.randrange(scenario.keys)
        partition = rng.randrange(scenario.partitions)
        if key is not None:
            partition = hash_of(key) % scenario.partitions
        # Blanks behind the value show whether its bytes are passed on unchanged: decoding and
        # encoding it would remove them.
        value = b'"%d"' % number + b" " * rng.choice((0, 0, 10, 60))
        headers: Headers = (
            (("id", b"%d" % number), ("of", b"feed")) if rng.random() < _HEADERS else ()
        )
        if scenario.carries_history:
            headers = (*headers, (CONTEXT_HEADER, long_history(number)))
        if rng.random() < scenario.shares.get(Fault.UNDECODABLE, 0.0):
            value = b"broken %d" % number
            self._broker.world.dice.note(Fault.UNDECODABLE)
        entry: Entry = (int(self._clock.time() * 1000), key, value, headers)
        topic = rng.choice(topics) if len(topics) > 1 else topics[0]
        place = TopicPartition(topic, partition)
        offset = self._broker.put(place, [entry])
        if number == scenario.unreadable:
            self._broker.log(place).unreadable.add(offset)
            self._broker.world.dice.note(Fault.UNREADABLE)


def hash_of(key: bytes) -> int:
    """A hash to choose a partition: a source may be partitioned in any way."""
    return sum(key)
