"""Holds the records of a segment while what its agents depend on is down.

A record that its policy would dead-letter through the world's fault is held instead: it stays in
flight and keeps its key, its failure counts as no attempt, and no new attempt begins but a probe
now and then. `policies/breaker.py` says when that begins and when it ends.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Hashable, Sequence
from operator import sub

from streamapp.observability.occurrences import OccurrenceKind
from streamapp.observability.stage_metrics import HoldKind
from streamapp.pipeline.topology import Segment
from streamapp.policies.breaker import Permit
from streamapp.policies.breaker_cause import Rule
from streamapp.runtime.config import Environment
from streamapp.runtime.first_attempts import FirstAttempts
from streamapp.runtime.probe import Probe
from streamapp.runtime.ready import ReadyQueue, is_any
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.step_hold import StepHold, key_of
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Work

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 0.25
"""Time between two looks for a record to probe with, when none is in flight."""


class Hold:
    """Holds records, and lets probes through.

    Args:
        segment: its stages say what is held and for how long.
        steps: its steps.
        environment: the clock and random numbers.
        ready: is closed while records are held.
        retries: keeps the held records.

    Attributes:
        on_change: called when records begin or cease to be held.
        on_too_long: called with a held record that is to stop the stage.
        first: makes the first attempt on a record that is used as a probe.
    """

    def __init__(
        self,
        segment: Segment,
        steps: Sequence[StepRunner],
        environment: Environment,
        *,
        ready: ReadyQueue,
        retries: RetryQueue,
    ) -> None:
        self._steps = [
            StepHold(runner, step.stage.config, environment)
            for runner, step in zip(steps, segment.steps, strict=True)
        ]
        self._metrics = [step.metrics for step in steps]
        self._segment = segment
        self._clock = environment.clock
        self._ready = ready
        self._retries = retries
        self._opened = asyncio.Event()
        self._probe: Probe | None = None
        self._probe_ended = asyncio.Event()
        self._takes_fresh = True
        self._lacks_fresh = False
        self.on_change: Callable[[], None] = lambda: None
        self.on_too_long: Callable[[Work, StepRunner], None] = lambda _work, _step: None
        self.first: FirstAttempts | None = None
        ready.on_dropped = self.end_probe

    @property
    def is_on(self) -> bool:
        """Whether records are held, so that no attempt begins but a probe."""
        return self._ready.is_held

    @property
    def needs_records(self) -> bool:
        """Whether the next probe lacks a record that was not tried, so that one is to be read.

        Held records alone do not tell an outage from records that always fail.
        """
        return self._lacks_fresh

    def records_came(self) -> None:
        """Read no more for probes until one finds nothing to probe with."""
        if self._lacks_fresh:
            self._lacks_fresh = False
            self.on_change()

    def of(self, step: StepRunner) -> StepHold:
        """What is known of a step."""
        return self._steps[step.index]

    def succeeded(self, step: StepRunner, work: Work, seconds: float) -> None:
        """Note that an attempt on a record succeeded, and how long it took."""
        own = self._steps[step.index]
        permit = self._take_permit(work, own)
        if permit is not None and self._probe is not None:
            self._probe.succeeded = True
        own.tell_success(permit, 1, [key_of(work)], slow=int(seconds >= own.slow_seconds))
        self._look(own)

    @property
    def wants_keys(self) -> bool:
        """Whether `succeeded_many` is to be given the keys of the records."""
        return any(own.breaker is not None and own.breaker.wants_keys for own in self._steps)

    def succeeded_many(
        self,
        steps: int,
        count: int,
        keys: Collection[Hashable],
        marks: Sequence[float],
        *,
        first: int = 0,
    ) -> None:
        """Note that the first so many steps succeeded on so many records.

        Args:
            steps: how many.
            count: number of records.
            keys: their keys, if they are wanted.
            marks: monotonic seconds: when the first record began, and when each step of each ended.
            first: the first of the steps that was not told of them before.
        """
        known = [key for key in keys if key is not None]
        for i, own in enumerate(self._steps[first:steps], first):
            slow, was_given_up = 0, own.is_given_up
            if own.slow_seconds < math.inf:
                durations = map(sub, marks[i + 1 :: steps], marks[i:-1:steps])
                slow = sum(seconds >= own.slow_seconds for seconds in durations)
            own.tell_success(None, count, known, slow=slow)
            if slow or was_given_up:
                self._look(own)

    def holds(self, step: StepRunner, work: Work, error: Exception) -> bool:
        """Note that an attempt failed, and hold its record if the world is at fault."""
        own = self._steps[step.index]
        is_held = own.holds_after(self._take_permit(work, own), work, error)
        if is_held:
            work.was_held, work.failures = True, work.failures_before(step.index)
            self._retries.hold(work)
        self._look(own)
        return is_held

    def keeps_back(self, work: Work) -> bool:
        """Hold a record whose next step is down, unless it is tried there; whether it is held.

        It is about to pass from one step to another. Without this, as many attempts as there are
        lanes would begin at a step after it was found to be down.
        """
        if not self._ready.is_held or work.item is None:
            return False
        own = self._steps[work.item.step]
        if not own.is_open or (self._probe is not None and self._probe.tests(work, own)):
            return False
        self._retries.hold(work)
        return True

    def is_within_budget(self, step: StepRunner, work: Work) -> bool:
        """Whether the budget of the step allows a dead letter; else the record is held."""
        own = self._steps[step.index]
        if own.allows_dead_letter():
            return True
        if not own.stops_beyond_budget:
            self._retries.hold(work)
            self._look(own)
        return False

    def end_probe(self, work: Work) -> None:
        """Give back the permit of a probe whose attempt has ended without an outcome."""
        probe = self._probe
        if probe is None or probe.work is not work:
            return
        if (permit := probe.take_permit()) is not None:
            permit.released()
        self._probe = None
        if not probe.succeeded or probe.calls_for_failed_key:
            self._takes_fresh = not self._takes_fresh
        self._probe_ended.set()

    def give_up_stuck_probe(self, stuck: Collection[Work]) -> None:
        """Let other probes be made if this one does not end although it was cancelled.

        Args:
            stuck: the records whose attempts do not end.
        """
        probe = self._probe
        if probe is None or probe.work not in stuck:
            return
        if (permit := probe.take_permit()) is not None:
            error = TimeoutError("the attempt does not end although it was cancelled")
            permit.failed(error, self._clock.monotonic(), key_of(probe.work))
        self.end_probe(probe.work)

    async def run(self) -> None:
        """Let probes through until cancelled."""
        while True:
            await self._opened.wait()
            is_open = [own for own in self._steps if own.is_open]
            beyond = next((own for own in is_open if own.held_until is not None), None)
            if not is_open:
                self._opened.clear()
            elif beyond is not None and beyond.held_until is not None:
                await self._clock.sleep(max(0.0, beyond.held_until - self._clock.monotonic()))
                beyond.held_until = None
                self._look(beyond)
            elif self._probe is not None:
                self._probe_ended.clear()
                await self._probe_ended.wait()
            else:
                await self._probe_next(is_open)

    async def _probe_next(self, is_open: Sequence[StepHold]) -> None:
        now = self._clock.monotonic()
        late = next((own for own in is_open if own.was_held_too_long(now)), None)
        if late is not None and (self._retries.held or self._ready.has_records):
            self._give_up(late)
            return
        finds_none = False
        for own in (None, *is_open):  # with `None`, what waits for none of them
            breaker = None if own is None else own.breaker
            if breaker is not None and not breaker.may_call(now):
                continue
            finds_none = own is not None
            work = self._candidate(own, is_first=own is is_open[0])
            if work is not None:
                permit = None if breaker is None else breaker.try_acquire(now)
                self._probe = Probe(work, own, permit)
                if own is not None:
                    self._metrics[own.step.index].probes += 1
                self._ready.let_through(work)
                self.on_change()
                return
        if finds_none:
            self._takes_fresh = True
            self.on_change()  # the intake may fetch a record
        self._tell(is_open[0])
        times = [own.breaker.next_probe_at for own in is_open if own.breaker is not None]
        waits = [at - now for at in times if at is not None and at > now]
        await self._clock.sleep(min([*waits, LOOK_AGAIN_SECONDS]))

    def _give_up(self, own: StepHold) -> None:
        """Let policies decide about the records, or stop at one that was held for too long."""
        if not own.stops_after_hold:
            own.is_given_up = True
            self._look(own)
        elif (work := self._retries.take_held() or self._take_fresh()) is not None:
            self._opened.clear()
            self.on_too_long(work, own.step)

    def _candidate(self, own: StepHold | None, *, is_first: bool) -> Work | None:
        """The next record to probe a step with: a held one, or one that was not tried.

        They take turns until a probe succeeds, which the next are then like: where some records
        always fail, those that were not tried can close the breaker. Where most keys failed, they
        take turns again once those alone would have closed it.

        Args:
            own: the step; `None` for what waits for no step that is open.
            is_first: whether records that have not begun wait for this step.
        """

        def is_for(work: Work) -> bool:
            return self._step_before(work) is own

        fresh = None
        if self._takes_fresh and is_first:
            fresh = self._take_fresh(is_for)
            self._lacks_fresh = fresh is None
        return fresh or self._retries.take_held(is_for) or self._ready.take_waiting(is_for)

    def _take_fresh(self, is_wanted: Callable[[Work], bool] = is_any) -> Work | None:
        """A record that is ready, or one whose attempts have not begun."""
        work = self._ready.take_waiting(is_wanted)
        return self.first.take_one() if work is None and self.first is not None else work

    def _step_before(self, work: Work) -> StepHold | None:
        """The first open step that a record has before it; `None` without any."""
        index = 0 if work.item is None else work.item.step
        return next((own for own in self._steps[index:] if own.is_open), None)

    def _take_permit(self, work: Work, own: StepHold) -> Permit | None:
        """The permit of a probe, whose outcome is now known."""
        probe = self._probe
        return None if probe is None or probe.work is not work else probe.take_permit(own)

    def _look(self, own: StepHold) -> None:
        """Begin or cease to hold records, if a step has changed."""
        is_on = any(step.is_open for step in self._steps)
        if own.breaker is not None:
            metrics = self._metrics[own.step.index]
            metrics.breaker_state = own.breaker.state
            metrics.breaker_opened_at = own.breaker.opened_at
        if is_on == self._ready.is_held:
            return
        self._ready.is_held = is_on
        if is_on:
            self._begin(own)
        else:
            self._end()
        self.on_change()

    def _begin(self, own: StepHold) -> None:
        self._takes_fresh, self._lacks_fresh = True, False
        self._opened.set()
        reason = self._reason(own)
        now = self._clock.monotonic()
        for metrics in self._metrics:
            metrics.held_since, metrics.held_reason = now, reason
            metrics.hold_kind = _kind_of(own)
        holding = self._metrics[own.step.index]
        holding.holds += 1
        holding.occurrences.add(now, OccurrenceKind.HELD, f"holds its records, because {reason}")
        self._tell(own)
        log.warning(
            "stage %s of %s holds its records, because %s; nothing of it is lost or dead-lettered"
            " meanwhile, and a probe is made now and then",
            own.step.stage_id,
            self._segment.pipeline,
            reason,
        )

    def _end(self) -> None:
        since, now = self._metrics[0].held_since, self._clock.monotonic()
        told = f"goes on with its records after {now - (since or now):.0f} s"
        self._metrics[0].occurrences.add(now, OccurrenceKind.RESUMED, told)
        for metrics in self._metrics:
            metrics.held_since = metrics.held_reason = metrics.next_probe_at = None
        log.warning(
            "stage %s of %s goes on with its records after it held them for %.0f s",
            self._segment.name,
            self._segment.pipeline,
            now - (since or 0.0),
        )
        self._ready.put_first(self._retries.take_all_held())

    def _tell(self, own: StepHold) -> None:
        next_probe_at = own.held_until
        if next_probe_at is None and own.breaker is not None:
            next_probe_at = own.breaker.next_probe_at
        for metrics in self._metrics:
            metrics.next_probe_at = next_probe_at

    def _reason(self, own: StepHold) -> str:
        if own.held_until is not None:
            return f"stage {own.step.stage_id!r} has {own.beyond_budget}"
        assert own.breaker is not None  # noqa: S101 - it is open
        assert own.breaker.cause is not None  # noqa: S101 - the same
        return f"in stage {own.step.stage_id!r} {own.breaker.cause.in_words}"


_WHOEVER_IS_AT_FAULT = (Rule.DISTINCT_KEYS, Rule.VALIDATION_RATE)


def _kind_of(own: StepHold) -> HoldKind:
    if own.held_until is not None:
        return HoldKind.BUDGET
    cause = None if own.breaker is None else own.breaker.cause
    is_unclear = cause is not None and cause.rule in _WHOEVER_IS_AT_FAULT
    return HoldKind.FAILURES if is_unclear else HoldKind.DEPENDENCY
