"""Bugs to plant, each of which breaks a promise that the simulator did not check before.

Each changes one named place of the runtime. If that place no longer exists, planting fails with an
error that says so; then the bug has to be moved.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from streamapp.brokers.partitioner import Partitioner
from streamapp.policies.backoff import Backoff
from streamapp.runtime import assignment as assignment_module
from streamapp.runtime import backlog as backlog_module
from streamapp.runtime import committer as committer_module
from streamapp.runtime import failures as failures_module
from streamapp.runtime import intake as intake_module
from streamapp.runtime import replay as replay_module
from streamapp.runtime import until_end as until_end_module
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.committer import Committer
from streamapp.runtime.dead_letters import Failure
from streamapp.runtime.intake import Intake
from streamapp.runtime.lost_positions import Lost, LostPositions
from streamapp.runtime.partition import Partition
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Work
from tests.simulation.planting import Mutant, replaced


def bytes_in_flight_ignored() -> AbstractContextManager[None]:
    original = Intake.__init__

    def init(intake: Intake, *args: Any) -> None:
        original(intake, *args)
        intake._max_bytes = 1 << 40

    return replaced(Intake, "__init__", init)


def offsets_are_held_without_bound() -> AbstractContextManager[None]:
    return replaced(intake_module, "FRONTIER_FACTOR", 1 << 20)


def failing_records_never_give_way() -> AbstractContextManager[None]:
    return replaced(backlog_module, "_beyond", lambda *_: set())


def drain_waits_for_a_retry() -> AbstractContextManager[None]:
    def due_by(retries: RetryQueue, _deadline: float) -> bool:
        return bool(retries._heap)

    return replaced(RetryQueue, "due_by", due_by)


def replay_waits_do_not_grow() -> AbstractContextManager[None]:
    return replaced(replay_module, "REPLAY_BACKOFF", Backoff(base_seconds=0.5, max_seconds=0.5))


def producer_replaced_by_each_stage() -> AbstractContextManager[None]:
    original = SharedProducer.replace

    async def replace(producer: SharedProducer, _generation: int) -> None:
        await original(producer, producer.generation)

    return replaced(SharedProducer, "replace", replace)


def finished_ahead_forgotten_on_replay() -> AbstractContextManager[None]:
    original = Assignment.suspend

    def suspend(assignment: Assignment) -> None:
        for partition in assignment.partitions.values():
            partition.frontier._finished = set()
        original(assignment)

    return replaced(Assignment, "suspend", suspend)


def commits_without_metadata() -> AbstractContextManager[None]:
    return replaced(committer_module, "encode", lambda _base, _finished: ("", True))


def metadata_of_a_commit_not_read() -> AbstractContextManager[None]:
    return replaced(assignment_module, "decode", lambda _text, _base: frozenset())


def fused_dead_letter_with_the_headers_of_the_record() -> AbstractContextManager[None]:
    original = failures_module._original_of

    def held(work: Any, step: Any) -> Any:
        found = original(work, step)
        return found and (*found[:2], work.record.headers)

    return replaced(failures_module, "_original_of", held)


def first_failure_overwritten() -> AbstractContextManager[None]:
    def failure(**facts: Any) -> Failure:
        return Failure(**{**facts, "first_failure_at": facts["last_failure_at"]})

    return replaced(failures_module, "Failure", failure)


def skip_drops_headers() -> AbstractContextManager[None]:
    original = StepRunner.pass_on

    def pass_on(step: StepRunner, work: Work) -> None:
        outputs, pending = len(work.outputs or ()), len(work.pending or ())
        original(step, work)
        if work.outputs is not None and len(work.outputs) > outputs:
            work.outputs[-1] = (*work.outputs[-1][:3], ())
        if work.pending is not None and len(work.pending) > pending:
            work.pending[-1].headers = ()

    return replaced(StepRunner, "pass_on", pass_on)


def keyless_outputs_all_to_one_partition() -> AbstractContextManager[None]:
    return replaced(Partitioner, "rotate_keyless", lambda _partitioner: None)


def until_end_waits_for_an_emptied_partition() -> AbstractContextManager[None]:
    original = until_end_module._reached

    async def reached(admin: Any, group: str, beginnings: Any, ends: Any) -> bool:
        emptied = any(beginnings[name] == end > 0 for name, end in ends.items())
        return await original(admin, group, beginnings, ends) and not emptied

    return replaced(until_end_module, "_reached", reached)


def passed_over_in_silence() -> AbstractContextManager[None]:
    def read_on(positions: LostPositions, lost: Lost, offset: int, _place: str) -> None:
        positions._assignment.restart_at(lost.name, offset)

    return replaced(LostPositions, "_read_on", read_on)


def lost_position_never_stops() -> AbstractContextManager[None]:
    def follow(positions: LostPositions, _partition: Partition, lost: Lost) -> None:
        positions._read_on(lost, lost.start, "its beginning")

    return replaced(LostPositions, "_follow", follow)


def commits_that_fail_never_end_an_assignment() -> AbstractContextManager[None]:
    return replaced(Committer, "_report_lost_if_overdue", lambda _committer: None)


def last_commit_waits_for_the_broker() -> AbstractContextManager[None]:
    return replaced(committer_module, "CALL_TIMEOUT_SECONDS", 1e9)


THIRD: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        bytes_in_flight_ignored,
        offsets_are_held_without_bound,
        failing_records_never_give_way,
        drain_waits_for_a_retry,
        replay_waits_do_not_grow,
        producer_replaced_by_each_stage,
        finished_ahead_forgotten_on_replay,
        commits_without_metadata,
        metadata_of_a_commit_not_read,
        fused_dead_letter_with_the_headers_of_the_record,
        first_failure_overwritten,
        skip_drops_headers,
        keyless_outputs_all_to_one_partition,
        until_end_waits_for_an_emptied_partition,
        passed_over_in_silence,
        lost_position_never_stops,
        commits_that_fail_never_end_an_assignment,
        last_commit_waits_for_the_broker,
    )
}
