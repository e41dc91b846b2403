"""Writes the records of a scenario to its source topic while it runs."""

import random

from streamapp.brokers.memory.batch import Entry
from streamapp.record import CONTEXT_HEADER, Headers, TopicPartition
from tests.simulation.broker import SimulatedBroker
from tests.simulation.faults import Fault
from tests.simulation.history import long_history
from tests.simulation.loop import VirtualClock
from tests.simulation.scenario import Scenario
from tests.simulation.workload import SOURCE

_NULL_KEYS = 0.05
_HEADERS = 0.8


async def feed(broker: SimulatedBroker, scenario: Scenario, clock: VirtualClock) -> None:
    """Write all records; in some runs half of them at the start."""
    rng = random.Random(f"feed {scenario.seed}")
    numbers = list(range(scenario.records))
    at_once = len(numbers) // 2 if rng.random() < 0.5 else 0
    span = scenario.seconds * rng.choice((0.1, 0.4, 0.8))
    if scenario.feeds_evenly:
        at_once, span = 0, scenario.seconds
    broken = scenario.shares.get(Fault.UNDECODABLE, 0.0)
    while numbers:
        size = at_once or rng.randint(1, 4 if scenario.feeds_evenly else 12)
        at_once = 0
        for number in numbers[:size]:
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
            if rng.random() < broken:
                value = b"broken %d" % number
                broker.world.dice.note(Fault.UNDECODABLE)
            entry: Entry = (int(clock.time() * 1000), key, value, headers)
            place = TopicPartition(SOURCE, partition)
            offset = broker.put(place, [entry])
            if number == scenario.unreadable:
                broker.log(place).unreadable.add(offset)
                broker.world.dice.note(Fault.UNREADABLE)
        del numbers[:size]
        pause = span * size / scenario.records
        await clock.sleep(rng.uniform(0.0, 2 * pause))


def hash_of(key: bytes) -> int:
    """A hash to choose a partition: a source may be partitioned in any way."""
    return sum(key)
