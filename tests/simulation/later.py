"""Retry topics under faults: one run for each seed, and what is promised of records that wait.

A pipeline whose records fail so often as a seed says runs on the memory broker in virtual time,
while workers stop, are killed and join, batches fail and commits are refused. Checked is, from the
logs and the attempts alone: nothing is lost, nothing is tried before it is due, and what waits or
has ended says truly where it is from.

The large simulator (`simulate.py`) has more faults and stages, and no retry topics.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from streamapp.brokers.protocols import TopicSpec
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, drop, retry, retry_later
from streamapp.record import Record
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.simulation.loop import MAX_TURNS, VirtualClock, VirtualLoop
from tests.unit.runtime.faults import FaultyBroker

HOPELESS = 10**6
QUIET_SECONDS = 600.0
"""Without faults, everything has to end within so long: the delays together are shorter."""

_TICK_SECONDS = 0.002
_ERROR = "streamapp.error."


@dataclass(frozen=True, slots=True)
class Draw:
    """A run before it has started.

    Attributes:
        partitions, keys: of every topic, and of the records.
        delays, retries: of the policy of the stage that fails.
        drops: whether what is used up is dropped, instead of dead-lettered.
        fused: whether that stage is fused to another.
        ordering, concurrency: settings of the stage that reads.
        failures: how often each record fails.
        seconds: how long faults happen.
    """

    partitions: int
    keys: int
    delays: tuple[float, ...]
    retries: int
    drops: bool
    fused: bool
    ordering: str
    concurrency: int
    failures: tuple[int, ...]
    seconds: float

    @property
    def attempts(self) -> int:
        """How many attempts a record has."""
        return (1 + self.retries) * (1 + len(self.delays))


def draw(seed: int) -> Draw:
    """Draw the run of a seed, which is always the same."""
    rng = random.Random(f"later {seed}")
    delays = tuple(sorted(rng.sample((0.5, 2.0, 5.0, 12.0, 30.0), rng.randint(1, 3))))
    retries = rng.choice((0, 0, 1))
    most = (1 + retries) * (1 + len(delays))
    failures = tuple(
        rng.choice((0, 0, 1, rng.randrange(most), HOPELESS)) for _ in range(rng.randint(10, 60))
    )
    return Draw(
        partitions=rng.randint(1, 3),
        keys=rng.choice((1, 4, 30)),
        delays=delays,
        retries=retries,
        drops=rng.random() < 0.2,
        fused=rng.random() < 0.3,
        ordering=rng.choice(("key", "key", "partition", "unordered")),
        concurrency=rng.choice((1, 4, 16)),
        failures=failures,
        seconds=rng.uniform(10.0, 60.0),
    )


@dataclass(slots=True)
class Result:
    """What came of a run.

    Attributes:
        complaints: broken promises.
        checks: how often each was checked.
        faults: those that happened.
    """

    complaints: list[str] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


def simulate_later(seed: int) -> Result:
    """Run the draw of a seed."""
    loop = VirtualLoop(random.Random(f"order {seed}"), random.Random(seed).choice((0.0, 0.5)))
    loop.allow_turns(MAX_TURNS // 8, each_seconds=QUIET_SECONDS)
    run = _Run(draw(seed), random.Random(f"faults {seed}"), loop)
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        loop.run_until_complete(run.play())
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the seed
        run.result.complaints.append(f"{type(error).__name__}: {error}")
    finally:
        loop.allow_turns(MAX_TURNS)
        loop.run_until_complete(_end_all())
        loop.close()
    return run.result


async def _end_all() -> None:
    me = asyncio.current_task()
    while left := [task for task in asyncio.all_tasks() if task is not me]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=1.0)


class _Run:
    """One run: its workers, its faults and its checks."""

    def __init__(self, drawn: Draw, rng: random.Random, loop: VirtualLoop) -> None:
        self.draw = drawn
        self.result = Result()
        self._rng = rng
        self._loop = loop
        self._clock = VirtualClock(loop)
        self._attempts: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        self._left = {f"v{n}": count for n, count in enumerate(drawn.failures)}
        self._topology = self._build()
        self._retry_topics = list(self._topology.segments[0].retry_topics)
        self._workers: list[tuple[Service, asyncio.Task[None]]] = []

    def _build(self) -> Topology:
        drawn = self.draw
        settings: Any = {"ordering": drawn.ordering, "concurrency": drawn.concurrency}

        @agent
        def before(value: str) -> str:
            return value

        @agent
        async def failing(value: str, context: Context) -> str:
            self._attempts[value].append((self._clock.time(), context.attempt))
            await asyncio.sleep(0.001)
            if self._left[value] > 0:
                self._left[value] -= 1
                raise ValueError("not yet")
            return value

        pipeline: Pipeline[Any, Any] = Pipeline("p", source=Topic("in", str))
        if drawn.fused:
            pipeline = pipeline.stage(before, on_error=dead_letter(), **settings)
            settings = {}
        pipeline = pipeline.stage(
            failing,
            on_error=self._policy(),
            fused=drawn.fused,
            breaker=None,
            dead_letter_budget=None,
            **settings,
        )
        return build(pipeline.sink("out"))

    def _policy(self) -> Policy:
        later = retry_later(self.draw.delays, then=drop() if self.draw.drops else dead_letter())
        if not self.draw.retries:
            return later
        return retry(self.draw.retries, then=later, backoff=Backoff(0.05))

    async def play(self) -> None:
        """Run from the first record to the last commit, and check what is there."""
        self._broker = FaultyBroker(self._clock)
        specs = [TopicSpec(name, self.draw.partitions) for name in self._topology.topics()]
        await self._broker.admin().create_topics(specs)
        self._start()
        feeding = asyncio.create_task(self._feed())
        while self._loop.time() < self.draw.seconds:
            await asyncio.sleep(self._rng.uniform(0.2, 5.0))
            await self._fault()
        await feeding
        self._broker.commits_refused = False
        self._broker.fail_batches.clear()
        if not self._workers:
            self._start()
        await self._wait_for_the_end()
        for service, _ in self._workers:
            service.stop()
        await asyncio.gather(*(task for _, task in self._workers))
        self._check()

    def _start(self) -> None:
        config = RuntimeConfig(commit_interval_seconds=0.2, session_timeout_seconds=6.0)
        made = Service(
            self._broker, [self._topology], config=config, clock=self._clock, rng=self._rng
        )
        self._workers.append((made, asyncio.create_task(made.run())))

    async def _feed(self) -> None:
        """Write the records one after the other while faults happen."""
        pause = self.draw.seconds / len(self.draw.failures)
        for n in range(len(self.draw.failures)):
            key = b"k%d" % self._rng.randrange(self.draw.keys)
            await self._broker.write(
                "in",
                (key, orjson.dumps(f"v{n}")),
                partition=sum(key) % self.draw.partitions,
                headers=[("id", b"%d" % n)],
            )
            await asyncio.sleep(self._rng.uniform(0.0, 1.5 * pause))

    async def _fault(self) -> None:
        kind = self._rng.choice(("join", "leave", "kill", "batch", "commits", "nothing"))
        if kind == "join" and len(self._workers) < 3:
            self._start()
        elif kind in ("leave", "kill") and self._workers:
            service, task = self._workers.pop(self._rng.randrange(len(self._workers)))
            if kind == "kill":
                task.cancel()
            service.stop()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(task, return_exceptions=True)
        elif kind == "batch":
            topic = self._rng.choice(["out", *self._retry_topics, *self._retry_topics])
            self._broker.fail_batches[topic] = 1
        elif kind == "commits":
            self._broker.commits_refused = not self._broker.commits_refused
        self.result.faults[kind] += 1
        if not self._workers and self._rng.random() < 0.7:
            self._start()

    async def _wait_for_the_end(self) -> None:
        group = self._topology.segments[0].group
        until = self._loop.time() + QUIET_SECONDS
        while self._loop.time() < until:
            offsets = await self._broker.admin().committed_offsets(group)
            done = {tuple(place): stored.offset for place, stored in offsets.items()}
            ends = {
                (topic, i): len(self._records(topic, i))
                for topic in ("in", *self._retry_topics)
                for i in range(self.draw.partitions)
            }
            if all(done.get(place, 0) >= end for place, end in ends.items()):
                return
            await asyncio.sleep(0.5)
        self.result.complaints.append(f"not at the end: {done} of {ends}")

    def _records(self, topic: str, partition: int) -> Sequence[Record]:
        return self._broker.records(topic, partition)

    def _all(self, topic: str) -> list[Record]:
        return [r for i in range(self.draw.partitions) for r in self._records(topic, i)]

    def _check(self) -> None:
        sources = {
            orjson.loads(record.value or b""): (i, record)
            for i in range(self.draw.partitions)
            for record in self._records("in", i)
        }
        waited: defaultdict[str, list[Record]] = defaultdict(list)
        for topic in self._retry_topics:
            for record in self._all(topic):
                waited[orjson.loads(record.value or b"")].append(record)
        written = Counter(orjson.loads(r.value or b"") for r in self._all("out"))
        letters = Counter(orjson.loads(r.value or b"") for r in self._all("p.failing.dlq"))
        for n, failures in enumerate(self.draw.failures):
            self._check_end(f"v{n}", failures, written, letters)
        for value, records in waited.items():
            for record in records:
                self._check_origin(value, record, sources[value])
            self._check_due(value, records)
        for record in self._all("p.failing.dlq"):
            value = orjson.loads(record.value or b"")
            facts = self._check_origin(value, record, sources[value])
            if int(facts["attempts"]) != self.draw.attempts:
                self._complain(f"the letter of {value} counts {facts['attempts']} attempts")
        for record in self._all("out"):
            value = orjson.loads(record.value or b"")
            if self._own(record) != [("id", value[1:].encode())]:
                self._complain(f"the output {value} has the headers {record.headers}")

    def _check_end(
        self, value: str, failures: int, written: Counter[str], letters: Counter[str]
    ) -> None:
        self.result.checks["end"] += 1
        if failures < self.draw.attempts:
            if not written[value] or letters[value]:
                self._complain(f"{value}, which succeeds at last, is not written or a dead letter")
        elif written[value]:
            self._complain(f"{value}, which never succeeds, is written")
        elif not self.draw.drops and not letters[value]:
            self._complain(f"{value} is lost")
        elif len(self._attempts[value]) < self.draw.attempts:
            self._complain(f"{value} ended after {len(self._attempts[value])} attempts")

    def _check_due(self, value: str, records: Sequence[Record]) -> None:
        """Each attempt after a delay has a record that had waited for it, and was due."""
        due = [(int(f["attempts"]), int(f["due"]) / 1000) for f in map(_facts, records)]
        for at, attempt in self._attempts[value]:
            if attempt == 1 or (attempt - 1) % (1 + self.draw.retries):
                continue
            self.result.checks["due"] += 1
            times = [when for attempts, when in due if attempts == attempt - 1]
            if not any(when <= at + _TICK_SECONDS for when in times):
                self._complain(f"attempt {attempt} on {value} was at {at}, and due at {times}")

    def _check_origin(
        self, value: str, record: Record, source: tuple[int, Record]
    ) -> dict[str, str]:
        """What waits or has ended is the original, and says where it is from."""
        self.result.checks["origin"] += 1
        partition, original = source
        facts = _facts(record)
        named = (facts["topic"], facts["partition"], facts["offset"], facts["timestamp"])
        expected = ("in", f"{partition}", f"{original.offset}", f"{original.timestamp}")
        if named != expected:
            self._complain(f"{value} says {named}, and is from {expected}")
        if (record.key, self._own(record)) != (original.key, list(original.headers)):
            self._complain(f"{value} has the key {record.key!r} and {self._own(record)}")
        first = int(facts["first_failure"]) / 1000
        began = self._attempts[value][0][0]
        if not began - _TICK_SECONDS <= first <= int(facts["last_failure"]) / 1000:
            self._complain(f"{value} says that it failed first at {first}, and began at {began}")
        return facts

    def _own(self, record: Record) -> list[tuple[str, bytes]]:
        return [h for h in record.headers if not h[0].startswith((_ERROR, "streamapp.context"))]

    def _complain(self, about: str) -> None:
        self.result.complaints.append(about)


def _facts(record: Record) -> dict[str, str]:
    own = [(name, content) for name, content in record.headers if name.startswith(_ERROR)]
    return {name.removeprefix(_ERROR): content.decode() for name, content in own}
