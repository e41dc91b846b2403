"""Bugs to plant in the runtime, one at a time: the simulator has to find each of them.

A mutant is a context manager that changes one behaviour of a production class. `FIRST` are the
bugs for which the simulator was built. `SECOND` were chosen when it was finished, by reading the
runtime for what it might miss. `THIRD` break promises that it did not check until then, `FOURTH`
those about how a stage ends, `FIFTH` those of holds, pools, branches and the audit trail, `SIXTH`
those of retry topics, batches and sources that match a pattern, `SEVENTH` those of bundles.

Each changes one named place. If that place no longer exists, planting fails with an error that
says so; then the bug has to be moved.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from streamapp.errors import BrokerError
from streamapp.policies.policy import ErrorPolicy
from streamapp.runtime import assignment as assignment_module
from streamapp.runtime import commit_metadata
from streamapp.runtime import outbox as outbox_module
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.attempts import Attempts
from streamapp.runtime.burst import Burst
from streamapp.runtime.committer import Committer, _to_commit
from streamapp.runtime.delivery import AtLeastOnce
from streamapp.runtime.failures import FailureHandler
from streamapp.runtime.flush import Flush
from streamapp.runtime.frontier import Frontier
from streamapp.runtime.in_flight import InFlight
from streamapp.runtime.intake import Intake
from streamapp.runtime.lanes import Lanes
from streamapp.runtime.membership import Membership
from streamapp.runtime.outbox import Outbox
from streamapp.runtime.partition import Partition
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.refusals import Refusals
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.work import Work
from tests.simulation.broken_promises import THIRD
from tests.simulation.bundle_bugs import SEVENTH
from tests.simulation.composition_bugs import FIFTH
from tests.simulation.endings import FOURTH
from tests.simulation.planting import Mutant, replaced
from tests.simulation.waiting_bugs import SIXTH


def commit_before_acknowledgement() -> AbstractContextManager[None]:
    original = Outbox._send

    async def send(outbox: Outbox, flush: Flush) -> None:
        outbox._on_finished(flush)
        flush.shares = {}
        await original(outbox, flush)

    return replaced(Outbox, "_send", send)


def ignored_revocation() -> AbstractContextManager[None]:
    async def revoked(_membership: Membership, _partitions: object) -> None:
        pass

    return replaced(Membership, "revoked", revoked)


def frontier_off_by_one() -> AbstractContextManager[None]:
    def offset(frontier: Frontier) -> int | None:
        return frontier._pending[0] + 1 if frontier._pending else frontier._next

    return replaced(Frontier, "offset", property(offset))


def late_work_of_a_lost_assignment_commits() -> AbstractContextManager[None]:
    def close(_assignment: Assignment) -> None:
        pass

    return replaced(Assignment, "close", close)


def dead_letter_not_awaited() -> AbstractContextManager[None]:
    original = Outbox._send

    async def send(outbox: Outbox, flush: Flush) -> None:
        letters = [topic for topic in flush.batches if topic.name.endswith(".dlq")]
        taken = [(topic.name, *one) for topic in letters for one in flush.batches.pop(topic).take()]
        for name, partition, batch in taken:
            try:
                future = await outbox._shared.current.send_batch(batch, name, partition)
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
            except BrokerError:
                pass
        await original(outbox, flush)

    return replaced(Outbox, "_send", send)


def order_lost_on_retry() -> AbstractContextManager[None]:
    original = RetryQueue.add

    def add(retries: RetryQueue, work: Work, delay_seconds: float) -> None:
        original(retries, work, delay_seconds)
        retries._ready.release_key(work)

    return replaced(RetryQueue, "add", add)


def skipped_finished_offsets_wrong() -> AbstractContextManager[None]:
    def decode(text: str, base: int) -> frozenset[int]:
        return frozenset(offset + 1 for offset in commit_metadata.decode(text, base))

    return replaced(assignment_module, "decode", decode)


def drain_forgets_a_lane() -> AbstractContextManager[None]:
    def unfinished(in_flight: InFlight, deadline: float) -> bool:
        lanes, delivery = in_flight._lanes, in_flight._delivery
        last = lanes._lanes[-1]
        return (
            (lanes.busy and last.work is None)
            or bool(in_flight._ready)
            or not delivery.empty
            or in_flight._retries.due_by(deadline)
        )

    return replaced(InFlight, "_unfinished", unfinished)


def put_back_forgotten() -> AbstractContextManager[None]:
    def take_refetch_offsets(intake: Intake, _names: object) -> dict[object, int]:
        intake._refetch_from = {}
        return {}

    return replaced(Intake, "take_refetch_offsets", take_refetch_offsets)


def replay_takes_what_belongs_to_an_assignment() -> AbstractContextManager[None]:
    def take_refetch_offsets(intake: Intake, _names: object) -> dict[Any, int]:
        taken, intake._refetch_from = intake._refetch_from, {}
        return taken

    return replaced(Intake, "take_refetch_offsets", take_refetch_offsets)


def replay_goes_on_where_it_was() -> AbstractContextManager[None]:
    def resume(assignment: Assignment, put_back: Mapping[Any, int], **_but: object) -> None:
        for name in assignment.suspended:
            if name in put_back:
                assignment.consumer.seek(name, put_back[name])
            assignment.partitions[name] = Partition(name, until=assignment.until.get(name))

    return replaced(Assignment, "resume", resume)


def failed_commit_taken_for_good() -> AbstractContextManager[None]:
    original = Committer.commit

    async def commit(committer: Committer) -> bool:
        asked = [(p, _to_commit(p)) for p in committer._assignment.partitions.values()]
        done = await original(committer)
        for partition, offset in asked:
            partition.committed = offset
        return done

    return replaced(Committer, "commit", commit)


def bound_ignored() -> AbstractContextManager[None]:
    original = Intake._demand

    def demand(intake: Intake) -> tuple[Any, int]:
        ready, free = original(intake)
        return ready, free and intake._max_records

    return replaced(Intake, "_demand", demand)


def timeouts_never_fire() -> AbstractContextManager[None]:
    def expire(_lanes: Lanes, _now: float) -> None:
        pass

    return replaced(Lanes, "expire", expire)


def record_that_said_stop_is_finished() -> AbstractContextManager[None]:
    original = FailureHandler.handle

    def handle(
        handler: FailureHandler, work: Work, step: Any, error: Exception, *ended: Any
    ) -> bool:
        goes_on = original(handler, work, step, error, *ended)
        policy = step.policy.for_error(error)
        last_word = policy.then if policy.action is ErrorPolicy.RETRY else policy.action
        stopped = last_word is ErrorPolicy.STOP and work.failures > policy.retries
        return goes_on or stopped

    return replaced(FailureHandler, "handle", handle)


def first_acknowledgement_counts_for_all() -> AbstractContextManager[None]:
    def count_down(outbox: Outbox, flush: Flush) -> None:
        if flush in outbox._outstanding:
            outbox._outstanding.pop(flush).cancel()
            outbox._on_finished(flush)
            outbox._wake.set()

    return replaced(Outbox, "_count_down", count_down)


def failed_acknowledgement_counts() -> AbstractContextManager[None]:
    def acknowledged(outbox: Outbox, flush: Flush, place: Any, future: Any) -> None:
        future.exception()
        flush.acknowledge(place)
        outbox._count_down(flush)

    return replaced(Outbox, "_acknowledged", acknowledged)


def work_in_flight_is_said_to_be_finished() -> AbstractContextManager[None]:
    def finished_ahead(frontier: Frontier) -> set[int]:
        in_flight = frontier._pending[frontier._head + 1 :][-1:]
        return frontier._finished.union(in_flight)

    return replaced(Frontier, "finished_ahead", property(finished_ahead))


def attempt_that_waits_leaves_its_key() -> AbstractContextManager[None]:
    def publish_progress(burst: Burst) -> None:
        lane, burst._current = burst._current, None
        if lane is not None and lane.record is not None and lane.chunk is not None:
            burst._count_finished(lane, lane.place)
            lane.work = burst._work_on(lane.record, lane.chunk)
            lane.deadline = lane.marks[-1] + burst._steps[0].timeout_seconds

    return replaced(Burst, "publish_progress", publish_progress)


@contextmanager
def drain_is_not_told_of_what_is_dropped() -> Iterator[None]:
    def drop_not_running(in_flight: InFlight) -> None:
        in_flight._ready.drop(in_flight._should_keep)
        in_flight._retries.drop(in_flight._should_keep)

    def forget(in_flight: InFlight) -> None:
        in_flight._ready.drop()
        in_flight._retries.drop()
        in_flight._lanes.cancel_closed()
        in_flight._delivery.discard()

    with (
        replaced(InFlight, "drop_not_running", drop_not_running),
        replaced(InFlight, "forget", forget),
    ):
        yield


def replay_meets_its_own_attempts() -> AbstractContextManager[None]:
    async def wait_for_cancelled_attempts(in_flight: InFlight, _seconds: float) -> frozenset[Any]:
        in_flight._lanes.cancel_closed()
        return frozenset()

    return replaced(InFlight, "wait_for_cancelled_attempts", wait_for_cancelled_attempts)


def last_that_waits_goes_first() -> AbstractContextManager[None]:
    original = ReadyQueue.release_key

    def release_key(queue: ReadyQueue, work: Work) -> None:
        if work.behind:
            work.behind.rotate(1)
        original(queue, work)

    return replaced(ReadyQueue, "release_key", release_key)


def dead_letter_in_place_of_outputs() -> AbstractContextManager[None]:
    original = FailureHandler._dead_letter

    def dead_letter(handler: FailureHandler, work: Work, *rest: Any) -> bool:
        work.outputs = None
        return original(handler, work, *rest)

    return replaced(FailureHandler, "_dead_letter", dead_letter)


def failures_of_one_value_count_for_the_next() -> AbstractContextManager[None]:
    def start_item(attempts: Attempts, work: Work, item: Any) -> None:
        work.item = item
        attempts._steps[item.step].metrics.records_in += 1

    return replaced(Attempts, "_start_item", start_item)


def producer_kept_after_a_failure() -> AbstractContextManager[None]:
    async def replace(producer: SharedProducer, generation: int) -> None:
        if generation == producer.generation:
            for user in producer._users:
                user()
            producer.generation += 1

    return replaced(SharedProducer, "replace", replace)


def outputs_of_a_replay_are_kept() -> AbstractContextManager[None]:
    """Outputs that were open when the producer was lost go into the next flush."""

    def discard(outbox: Outbox) -> None:
        for timer in outbox._outstanding.values():
            timer.cancel()
        outbox._outstanding.clear()
        outbox._failed = False

    return replaced(Outbox, "discard", discard)


def acknowledged_outputs_are_repeated() -> AbstractContextManager[None]:
    """Of a flush that failed, what was acknowledged is worked on again."""
    return replaced(AtLeastOnce, "keep_acknowledged", lambda _delivery: None)


@contextmanager
def replaced_producer_is_waited_for() -> Iterator[None]:
    """A batch that a lost producer does not take is waited for until its delivery times out."""
    original = SharedProducer._give_up

    async def give_up(producer: SharedProducer, given_up: Any) -> None:
        handovers, producer._handovers = producer._handovers, {}
        await original(producer, given_up)
        producer._handovers |= handovers

    with (
        replaced(SharedProducer, "_give_up", give_up),
        replaced(outbox_module, "ANSWER_TIMEOUT_SECONDS", 1e9),
    ):
        yield


def refused_record_is_not_looked_for() -> AbstractContextManager[None]:
    return replaced(Refusals, "batch_refused", lambda *_refusal: None)


def neighbours_of_a_refused_record_fail_too() -> AbstractContextManager[None]:
    def batch_refused(refusals: Refusals, error: Any, place: Any, suspects: Any) -> None:
        for partition, offsets in suspects.items():
            for offset in offsets:
                refusals._convict(error, place[0], partition.name, offset)

    return replaced(Refusals, "batch_refused", batch_refused)


FIRST: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        commit_before_acknowledgement,
        ignored_revocation,
        frontier_off_by_one,
        late_work_of_a_lost_assignment_commits,
        dead_letter_not_awaited,
        order_lost_on_retry,
        skipped_finished_offsets_wrong,
        drain_forgets_a_lane,
    )
}

SECOND: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        put_back_forgotten,
        replay_takes_what_belongs_to_an_assignment,
        replay_goes_on_where_it_was,
        failed_commit_taken_for_good,
        bound_ignored,
        timeouts_never_fire,
        record_that_said_stop_is_finished,
        first_acknowledgement_counts_for_all,
        failed_acknowledgement_counts,
        work_in_flight_is_said_to_be_finished,
        attempt_that_waits_leaves_its_key,
        drain_is_not_told_of_what_is_dropped,
        replay_meets_its_own_attempts,
        last_that_waits_goes_first,
        dead_letter_in_place_of_outputs,
        failures_of_one_value_count_for_the_next,
        producer_kept_after_a_failure,
        outputs_of_a_replay_are_kept,
        acknowledged_outputs_are_repeated,
        replaced_producer_is_waited_for,
        refused_record_is_not_looked_for,
        neighbours_of_a_refused_record_fail_too,
    )
}

MUTANTS: Mapping[str, Mutant] = {**FIRST, **SECOND, **THIRD, **FOURTH, **FIFTH, **SIXTH, **SEVENTH}
