"""What `native_cost` counts: each native leaf at work on a fixed batch. Runs under callgrind.

`python -I -S native_cost_work.py SITE_PACKAGES SIZE...` imports the native module and nothing of
streamapp, which would take a minute there, and forks for each leaf and size; `LEAF SIZE PID` tells
whose counts are whose. What the leaves call in Python stands here in its simplest form: it is not
counted.
"""

import os
import sys
from collections.abc import Callable
from operator import attrgetter
from typing import Any

sys.path.append(sys.argv[1])
native: Any = __import__("streamapp_native")

BATCH_BYTES = 1 << 24
DAY_MS = 1_760_000_000_000
ENCODED = b'{"number":1}'


class Purchase:
    """Plain fields, as a model has them."""

    def __init__(self, number: int) -> None:
        self.customer_id = f"customer-{number % 100:05d}"
        self.sequence = number
        self.price = number + 0.25
        self.is_large = number % 7 == 0
        self.coupon = None
        self.comment = "left at the door please"


class Partitions:
    """Of an output topic."""

    partitions = 4
    keyless = 0

    def choose(self, _key: object) -> int:
        """Not asked: all records have keys."""
        return 0

    def rotate_keyless(self) -> None:
        """Nothing to do."""


class Batch:
    """An output batch that is thrown away."""

    def __init__(self) -> None:
        self.builder = native.RecordBatch(BATCH_BYTES)
        self.size = self.builder.size

    def seal(self, _records: int) -> None:
        """Nothing to do."""


class EventTimes:
    """Of an output topic, whose records keep their timestamps."""

    extra_bytes = 0


class OutputTopic:
    """The limits of a topic."""

    max_message_bytes = 1_000_000
    event_times = EventTimes
    needs_keys = False


class Histogram:
    """Counts by bucket."""

    last = 24
    total = 0

    def __init__(self) -> None:
        self.counts = [0] * 25


def log(size: int) -> bytes:
    """A batch as a broker sends it; every fifth record has headers."""
    batch = native.RecordBatch(BATCH_BYTES)
    for number in range(size):
        headers = [("trace", b"00-1f-01")] if number % 5 == 0 else []
        key = b"customer-%05d" % (number % 100)
        batch.append(number, DAY_MS + number, key, ENCODED * 18, headers)
    return bytes(batch.build())


def parsed(size: int) -> Any:
    return native.Log(log(size)).next_batch().parse()[0]


def batches() -> Any:
    return native.TopicBatches(Partitions(), Batch, len_of)


def len_of(_size: int) -> None: ...


def refuse(_value: object) -> bytes:
    raise TypeError("not plain, so it is not counted")


def parse(size: int) -> Callable[[], object]:
    """Positions of records in fetched bytes, checksum included."""
    data = log(size)

    def work() -> None:
        batch = native.Log(data).next_batch()
        batch.validate_crc()
        batch.parse()

    return work


def records(size: int) -> Callable[[], object]:
    """Records of positions."""
    fetched = parsed(size)
    return lambda: list(fetched)


def append(size: int) -> Callable[[], object]:
    """Bytes to output batches: partition, record, checksum."""
    values: list[Any] = [
        (b"customer-%05d" % (i % 100), ENCODED * 18, [], DAY_MS + i) for i in range(size)
    ]
    own = batches()

    def work() -> None:
        for value in values:
            own.append(*value)
        for _, batch in own.take():
            batch.builder.build()

    return work


def write(size: int, encoding: Any, value: Callable[[int], object]) -> Callable[[], object]:
    writer = native.Writer(batches(), encoding, OutputTopic, list)
    pairs = [(value(number), record) for number, record in enumerate(parsed(size))]

    def work() -> None:
        for own, record in pairs:
            writer.write(own, record)

    return work


def write_fields(size: int) -> Callable[[], object]:
    """Models to output batches."""
    kinds = {tuple(map(type, Purchase(0).__dict__.values()))}
    encoding = native.Encoding.of_fields(Purchase, kinds, refuse, refuse)
    return write(size, encoding, Purchase)


class Slotted:
    """Fields without a `__dict__`, as a struct has them."""

    __slots__ = ("encoded", "values")

    def __init__(self, number: int) -> None:
        self.values = tuple(Purchase(number).__dict__.values())
        self.encoded = b'{"number":%d}' % number * 12


def write_values(size: int) -> Callable[[], object]:
    """Structs to output batches; msgspec writes them."""
    kinds = {tuple(map(type, Slotted(0).values))}
    parts = attrgetter("values"), attrgetter("encoded")
    encoding = native.Encoding.of_values(Slotted, kinds, *parts, refuse)
    return write(size, encoding, Slotted)


def write_json(size: int) -> Callable[[], object]:
    """Dicts to output batches."""
    encoding = native.Encoding.of_json(refuse)
    return write(size, encoding, lambda number: Purchase(number).__dict__ | {"parts": [number, {}]})


def read_json(size: int) -> Callable[[], object]:
    """What is looked at before orjson reads."""
    value: dict[str, object] = {}
    reader = native.JsonReader(lambda _data: value, refuse, digits=19, outermost=dict)
    data = ENCODED * 18

    def work() -> None:
        for _ in range(size):
            reader.read(data)

    return work


def meter(size: int) -> Callable[[], object]:
    """Durations and ages."""
    marks = [1000 + number * 1e-5 for number in range(size * 2 + 1)]
    timestamps = [DAY_MS + number for number in range(size)]

    def work() -> None:
        native.observe_durations(Histogram(), marks, 0, 2)
        native.observe_ages(Histogram(), timestamps, marks, 2, DAY_MS / 1000)

    return work


LEAVES = (parse, records, append, write_fields, write_values, write_json, read_json, meter)


def main() -> None:
    sizes = [int(size) for size in sys.argv[2:]]
    for leaf in LEAVES:
        # All are made before the first child begins, so that no child's counts have more of that.
        for size, work in zip(sizes, [leaf(size) for size in sizes], strict=True):
            child = os.fork()
            if not child:
                work()
                os._exit(0)
            if os.waitpid(child, 0)[1]:
                raise SystemExit(f"{leaf.__name__} of {size} failed")
            print(leaf.__name__, size, child, flush=True)


if __name__ == "__main__":
    main()
