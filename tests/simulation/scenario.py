"""What a seed stands for: a pipeline, its records, its settings and its faults."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamapp.policies.policy import ErrorPolicy
from streamapp.runtime.config import RuntimeConfig
from tests.simulation.batch_draw import draw_batch
from tests.simulation.delays_draw import draw_delays
from tests.simulation.dependency import DEFAULT_HOLD, Downtime, draw_holds
from tests.simulation.faults import CLEAN, EVENTS, Fault
from tests.simulation.parts_draw import draw_parts
from tests.simulation.sources import ONE_SOURCE, SourcesDraw, draw_sources
from tests.simulation.stage_draw import StageDraw, draw_stages

LONGEST_DRAIN_SECONDS = 100.0

_ON_THE_WIRE = {
    Fault.BATCH_LOST: 0.08,
    Fault.BATCH_LIED: 0.08,
    Fault.BATCH_VANISHED: 0.04,
    Fault.BATCH_SILENT: 0.04,
    Fault.BATCH_LATE: 0.2,
    Fault.SEND_REFUSED: 0.05,
    Fault.PRODUCER_REFUSED: 0.4,
    Fault.COMMIT_FAILED: 0.5,
    Fault.COMMIT_LIED: 0.3,
    Fault.COMMIT_REFUSED: 0.1,
    Fault.COMMIT_SILENT: 0.1,
    Fault.FETCH_FAILED: 0.1,
    Fault.FETCH_LATE: 0.3,
    Fault.ASSIGNMENT_LATE: 0.6,
    Fault.OFFSETS_FAILED: 0.3,
    Fault.GAP: 0.3,
}
"""Highest probability of each."""

_LATER = {Fault.SEND_STUCK: 0.05, Fault.RECORD_REFUSED: 0.1}
"""The same of faults that are drawn apart from the others."""

_APART = {Fault.DOWN, Fault.MEMBER_DOWN, Fault.NEW_TOPIC}
"""Faults that are drawn by modules of their own."""

_RARE = {Fault.UNREADABLE: 0.15, Fault.TRUNCATED: 0.15, Fault.BLOCK: 0.15}
"""Probability of those that happen to one record or partition of a run, and end a stage."""

_BUNDLED = 0.25
"""Probability that the stages of a run are in a bundle."""

_IN_AGENTS = (
    Fault.TRANSIENT,
    Fault.PERMANENT,
    Fault.HOPELESS,
    Fault.SLOW,
    Fault.SLOW_THREAD,
    Fault.STUBBORN,
    Fault.BURN,
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run before it has started.

    Attributes:
        seed: the seed from which it was drawn.
        partitions: number of partitions of every topic.
        records: number of records written to the source.
        keys: number of different keys.
        workers: number of processes at the start.
        stages: the pipeline.
        seconds: how long faults happen.
        latency_seconds: longest time that a request or an answer takes without a fault.
        disorder: share of turns of the loop in which the order of task steps is drawn.
        rates: probability of each fault that can happen at any request.
        shares: share of values that an agent fails on, by kind of failure.
        events: times and kinds of the faults that happen at one moment.
        config: settings of the workers.
        session_seconds: a member that sends no heartbeat for so long is evicted.
        after_seconds: how long requests still fail when no other faults happen any more.
        until_end: whether a last worker does the rest and ends by itself.
        waits_long: whether every backoff is at least half of the longest one.
        stops_in_outage: whether all workers are told to stop while the broker is down.
        unreadable: number of the record that no client can parse; `None` if there is none.
        blocks: number of the record on which the first agent blocks its process; `None` likewise.
        truncates: whether a partition of the source loses records that were read.
        downtime: when what the agents depend on is down; `None`: never.
        feeds_evenly: whether records are written all the time.
        audit: what the stages add to the audit trail.
        carries_history: whether records come with an audit trail that is as long as it may be.
        sources: the topics that the first stage reads.
        is_bundled: whether one member reads for all stages of a worker.
    """

    seed: int
    partitions: int
    records: int
    keys: int
    workers: int
    stages: tuple[StageDraw, ...]
    seconds: float
    latency_seconds: float
    disorder: float
    rates: Mapping[Fault, float]
    shares: Mapping[Fault, float]
    events: tuple[tuple[float, Fault], ...]
    config: RuntimeConfig
    session_seconds: float
    after_seconds: float
    until_end: bool
    stops_in_outage: bool
    waits_long: bool
    unreadable: int | None = None
    blocks: int | None = None
    truncates: bool = False
    downtime: Downtime | None = None
    feeds_evenly: bool = False
    audit: str = "errors"
    carries_history: bool = False
    sources: SourcesDraw = ONE_SOURCE
    is_bundled: bool = False

    def refuses(self, topic: str, value: bytes) -> bool:
        """Whether the broker takes no batch with this output."""
        digest = hashlib.blake2b(f"{self.seed} {topic}".encode() + value, digest_size=4).digest()
        return int.from_bytes(digest) / 2**32 < self.rates.get(Fault.RECORD_REFUSED, 0.0)

    @property
    def is_calm(self) -> bool:
        """Whether no fault happens that can delay a drain."""
        happening = {*self.rates, *self.shares, *(fault for _, fault in self.events)}
        rare = self.unreadable is not None or self.blocks is not None or self.truncates
        return happening <= CLEAN and not self.stops_in_outage and not rare

    @property
    def is_clean(self) -> bool:
        """Whether no fault happens that allows repetitions."""
        # The record at which a policy said stop is read again, with records finished behind it.
        stops = any(stage.may_stop for stage in self.stages)
        return (
            self.is_calm and not stops and self.config.revoke_drain_seconds > LONGEST_DRAIN_SECONDS
        )


def draw(seed: int) -> Scenario:
    """Draw the scenario of a seed, which is always the same."""
    rng = random.Random(f"scenario {seed}")
    # Some faults are left out in each run, because one fault can hide the effects of another.
    drawn = [f for f in Fault if f not in {*_LATER, *_RARE, *_APART}]
    wanted = [fault for fault in drawn if rng.random() < rng.choice((0.15, 0.4, 0.7))]
    calm = rng.random() < 0.2
    clean = calm and rng.random() < 0.6
    if calm:
        wanted = [fault for fault in wanted if fault in CLEAN]
    seconds = rng.uniform(4.0, 20.0)
    rates = {
        fault: rng.uniform(0.1, 1.0) * most
        for fault, most in _ON_THE_WIRE.items()
        if fault in wanted
    }
    if not calm:
        rates |= _later_rates(seed)
    shares = {fault: rng.uniform(0.02, 0.2) for fault in _IN_AGENTS if fault in wanted}
    if Fault.UNDECODABLE in wanted:
        shares[Fault.UNDECODABLE] = rng.uniform(0.02, 0.15)
    kinds = [fault for fault in EVENTS if fault in wanted]
    events = sorted(
        (rng.uniform(0.5, seconds), rng.choice(kinds)) for _ in range(rng.randint(1, 8)) if kinds
    )
    scenario = Scenario(
        seed=seed,
        partitions=rng.randint(1, 4),
        records=rng.randint(20, rng.choice((60, 200))),
        keys=rng.choice((1, 3, 8, 20)),
        workers=rng.randint(1, 3),
        stages=draw_stages(rng, wanted),
        seconds=seconds,
        latency_seconds=rng.choice((0.001, 0.02, 0.2)),
        disorder=rng.choice((0.0, 0.3, 1.0)),
        rates=rates,
        shares=shares,
        events=tuple(events),
        config=RuntimeConfig(
            commit_interval_seconds=rng.choice((0.1, 0.5, 1.0)),
            commit_records=rng.choice((3, 50, 20_000)),
            commit_deadline_seconds=rng.choice((3.0, 60.0)),
            linger_seconds=rng.choice((0.001, 0.05, 0.3)),
            flush_records=rng.choice((1, 4, 16, 2048)),
            delivery_timeout_seconds=rng.choice((2.0, 6.0)),
            # With a long deadline, and without a fault, nothing is repeated.
            revoke_drain_seconds=300.0 if clean else rng.choice((1.0, 5.0)),
            shutdown_drain_seconds=300.0 if clean else rng.choice((3.0, 10.0)),
            letter_count_interval_seconds=None,  # figures for people, of which no promise speaks
        ),
        session_seconds=rng.choice((3.0, 6.0)),
        after_seconds=rng.choice((0.0, 0.0, 10.0)),
        until_end=rng.random() < 0.2,
        stops_in_outage=not calm and rng.random() < 0.1,
        waits_long=rng.random() < 0.5,
    )
    session = replace(scenario.config, session_timeout_seconds=scenario.session_seconds)
    holds, downtime = draw_holds(seed, len(scenario.stages), seconds)
    stages = tuple(replace(s, hold=h) for s, h in zip(scenario.stages, holds, strict=True))
    scenario = replace(scenario, config=session, stages=stages, downtime=downtime)
    scenario = _with_sources(_with_audit(_with_batch(_with_delays(_with_parts(scenario)))))
    scenario = scenario if calm else _with_rare_faults(scenario)
    return replace(scenario, is_bundled=_is_bundled(scenario))


def _is_bundled(scenario: Scenario) -> bool:
    """Whether the stages are in a bundle: all other draws of a seed stay what they were."""
    has_pattern = scenario.sources.later is not None
    return not has_pattern and random.Random(f"bundle {scenario.seed}").random() < _BUNDLED


def _with_parts(scenario: Scenario) -> Scenario:
    """Make the agent of one stage of others, in some runs."""
    drawn = draw_parts(scenario.seed, len(scenario.stages), scenario.seconds)
    if drawn is None:
        return scenario
    stages = list(scenario.stages)
    stage = stages[drawn.stage]
    changes: dict[str, Any] = {"shape": "plain", "is_async": True, "is_blocking": False}
    if drawn.parts.capacities:
        # Where no member takes calls, records have to be held, or they fail with nobody at fault.
        hold = stage.hold if stage.hold.holds_as_long_as_it_takes else DEFAULT_HOLD
        changes |= {"hold": hold, "action": ErrorPolicy.RETRY, "then": ErrorPolicy.DEAD_LETTER}
    stages[drawn.stage] = replace(stage, parts=drawn.parts, fan_out=1, **changes)
    scenario = replace(scenario, stages=tuple(stages))
    if drawn.seconds is not None:
        return replace(scenario, seconds=drawn.seconds, records=200, feeds_evenly=True)
    return scenario


def _with_delays(scenario: Scenario) -> Scenario:
    """Let failed records of one stage wait in retry topics, in some runs."""
    drawn = draw_delays(scenario.seed, len(scenario.stages))
    if drawn is None:
        return scenario
    stages = list(scenario.stages)
    stage = stages[drawn.stage]
    stages[drawn.stage] = replace(
        stage,
        action=ErrorPolicy.RETRY,
        then=stage.last_word,
        retries=drawn.retries,
        delays=drawn.delays,
    )
    return replace(scenario, stages=tuple(stages))


def _with_batch(scenario: Scenario) -> Scenario:
    """Let the agent of one stage take batches, in some runs."""
    free = [i for i, s in enumerate(scenario.stages) if not s.fused and s.parts is None]
    drawn = draw_batch(scenario.seed, [scenario.stages[i].max_in_flight_records for i in free])
    if drawn is None:
        return scenario
    place, batch = drawn
    stages = list(scenario.stages)
    stages[free[place]] = replace(
        stages[free[place]], batch=batch, shape="list", is_async=True, is_blocking=False
    )
    return replace(scenario, stages=tuple(stages))


def _with_sources(scenario: Scenario) -> Scenario:
    """Let the first stage read several topics, in some runs; one may appear during the run."""
    drawn = draw_sources(scenario.seed, scenario.seconds)
    if drawn is None:
        return scenario
    config = replace(
        scenario.config,
        topic_check_interval_seconds=drawn.check_seconds,
        topic_list_interval_seconds=drawn.check_seconds,
    )
    return replace(scenario, sources=drawn, config=config)


def _with_audit(scenario: Scenario) -> Scenario:
    """Let stages keep an audit trail, sometimes behind one that comes with the records."""
    rng = random.Random(f"audit {scenario.seed}")
    audit, carries_history = rng.choice(("off", "errors", "errors", "all")), rng.random() < 0.1
    return replace(scenario, audit=audit, carries_history=carries_history)


def _with_rare_faults(scenario: Scenario) -> Scenario:
    """Add faults that end a stage: all other draws of a seed stay what they were."""
    rng = random.Random(f"rare {scenario.seed}")
    happens = {fault: rng.random() < probability for fault, probability in _RARE.items()}
    # A worker that has to end in time would be held up, and so would be one that ends at the end.
    is_bounded = scenario.until_end or scenario.stops_in_outage
    first = scenario.stages[0]
    # A stage that stops, and a worker that starts again each time, would hide that another blocks.
    may_stop = any(stage.may_stop for stage in scenario.stages)
    can_block = not is_bounded and not first.is_blocking and not may_stop and not first.batch
    numbers = rng.sample(range(scenario.records), 2)
    return replace(
        scenario,
        unreadable=numbers[0] if happens[Fault.UNREADABLE] else None,
        blocks=numbers[1] if happens[Fault.BLOCK] and can_block else None,
        truncates=happens[Fault.TRUNCATED] and not is_bounded,
    )


def _later_rates(seed: int) -> Mapping[Fault, float]:
    """Rates of faults that were added later: all other draws of a seed stay what they were."""
    rng = random.Random(f"later {seed}")
    return {fault: rng.uniform(0.1, 1.0) * most for fault, most in _LATER.items() if _fifth(rng)}


def _fifth(rng: random.Random) -> bool:
    return rng.random() < 0.2
