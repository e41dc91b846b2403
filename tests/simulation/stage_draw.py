"""One stage of a scenario, as drawn."""

import random
from collections.abc import Collection
from dataclasses import dataclass

from streamapp.policies.policy import ErrorPolicy
from tests.simulation.batch_draw import BatchDraw
from tests.simulation.dependency import NO_HOLD, HoldDraw
from tests.simulation.faults import Fault
from tests.simulation.parts_draw import PartsDraw

NO_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class StageDraw:
    """One stage, as drawn.

    Attributes:
        shape: `plain`, `list` or `iterator`.
        is_async: whether its agent is async.
        is_blocking: whether its agent, which is not async, runs in a thread.
        fused: whether it is fused with the stage before it.
        ordering, concurrency, timeout_seconds, max_in_flight_records, max_in_flight_bytes:
            settings of the stage.
        action, retries, then, backoff_seconds: its error policy, and the longest wait for a retry.
        fan_out: most outputs of one value.
        is_keyless: whether its outputs have no key.
        gives_headers: whether its outputs have headers of their own.
        stops_on_loss: whether it stops when records were deleted that it had not read.
        max_key_backlog_records: records that may wait behind one that fails.
        stops_on_backlog: whether it stops when so many wait.
        hold: when it holds its records.
        parts: what its agent is made of; `None`: of nothing else.
        delays: how long failed records wait in each of its retry topics, in seconds.
        batch: how its agent takes batches; `None`: it takes single values.
    """

    shape: str
    is_async: bool
    is_blocking: bool
    fused: bool
    ordering: str
    concurrency: int
    timeout_seconds: float
    max_in_flight_records: int
    max_in_flight_bytes: int
    action: ErrorPolicy
    retries: int
    then: ErrorPolicy
    backoff_seconds: float
    fan_out: int
    is_keyless: bool
    gives_headers: bool
    stops_on_loss: bool
    max_key_backlog_records: int
    stops_on_backlog: bool
    hold: HoldDraw = NO_HOLD
    parts: PartsDraw | None = None
    delays: tuple[float, ...] = ()
    batch: BatchDraw | None = None

    @property
    def gives_keys_up(self) -> bool:
        """Whether good records can become dead letters because of others of their key."""
        return self.max_key_backlog_records < NO_BACKLOG and not self.stops_on_backlog

    @property
    def may_stop(self) -> bool:
        """Whether it may stop at a failing record."""
        bounded = self.max_key_backlog_records < NO_BACKLOG
        stops = self.last_word is ErrorPolicy.STOP or (bounded and self.stops_on_backlog)
        return stops or self.hold.may_stop

    @property
    def is_mended_in_the_end(self) -> bool:
        """Whether values that always fail fail no more when the faults end.

        While all that is left fails, nobody can tell that from an outage, which is held for ever.
        """
        holds = self.last_word is ErrorPolicy.DEAD_LETTER or bool(self.delays)
        return self.hold.breaker is not None and holds

    @property
    def rewrites(self) -> bool:
        """Whether its outputs differ from their input in more than the value."""
        return self.is_keyless or self.gives_headers

    @property
    def attempts(self) -> int:
        """How many attempts a value has that fails each time."""
        retries = self.retries if self.action is ErrorPolicy.RETRY else 0
        return (1 + retries) * (1 + len(self.delays))

    @property
    def is_told_apart(self) -> bool:
        """Whether an attempt is something else than one call of what does the work."""
        return self.parts is not None or self.batch is not None

    @property
    def last_word(self) -> ErrorPolicy:
        """What happens to a record that fails for good."""
        return self.then if self.action is ErrorPolicy.RETRY else self.action


def keeps_its_records(draw: StageDraw) -> bool:
    """Whether a stage gives up no record because what it depends on is down."""
    return draw.hold.holds_as_long_as_it_takes and draw.last_word is ErrorPolicy.DEAD_LETTER


def draw_stages(rng: random.Random, wanted: Collection[Fault]) -> tuple[StageDraw, ...]:
    """The stages of a scenario, without their holds and parts."""
    number = rng.choice((1, 1, 2, 2, 3))
    stages: list[StageDraw] = []
    for i in range(number):
        # Half of the stages behind another one are fused to it.
        fused = i > 0 and rng.random() < 0.5
        stages.append(_stage(rng, wanted, fused=fused))
    return tuple(stages)


def _stage(rng: random.Random, wanted: Collection[Fault], *, fused: bool) -> StageDraw:
    ends = (ErrorPolicy.DEAD_LETTER,) * 3 + (ErrorPolicy.DROP, ErrorPolicy.SKIP, ErrorPolicy.STOP)
    is_async = rng.random() < 0.6
    hopeless = Fault.HOPELESS in wanted  # then a stage that stops would never get past a record
    backlog = Fault.BACKLOG in wanted
    return StageDraw(
        shape=rng.choice(("plain", "list", "iterator")),
        is_async=is_async,
        is_blocking=not is_async and rng.random() < 0.4,
        fused=fused,
        ordering=rng.choice(("key", "key", "partition", "unordered")),
        concurrency=rng.choice((1, 2, 4, 16)),
        timeout_seconds=rng.choice((1.0, 3.0)),
        max_in_flight_records=rng.choice((2, 8, 32, 256)),
        max_in_flight_bytes=rng.choice((40, 200, 1 << 20, 1 << 20)),
        action=rng.choice((ErrorPolicy.RETRY, ErrorPolicy.RETRY, *ends)),
        retries=rng.randint(1, 3),
        then=rng.choice(ends),
        backoff_seconds=rng.choice((1.0, 1.0, 1.0, 15.0)),
        fan_out=rng.choice((1, 1, 3)),
        is_keyless=rng.random() < 0.15,
        gives_headers=rng.random() < 0.3,
        stops_on_loss=rng.random() < 0.3,
        max_key_backlog_records=rng.choice((1, 1, 2, 4)) if backlog else NO_BACKLOG,
        stops_on_backlog=rng.random() < 0.3 and not hopeless,
    )
