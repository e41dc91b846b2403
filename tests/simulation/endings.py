"""Bugs in how a stage ends, or does not: blocked loops, dead ends, and what a stop commits.

Each changes one named place of the runtime. If that place no longer exists, planting fails with an
error that says so; then the bug has to be moved.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from streamapp.brokers.protocols import CommittedOffset
from streamapp.errors import UnreadableRecordError
from streamapp.runtime import blocked_loop as blocked_loop_module
from streamapp.runtime import committer as committer_module
from streamapp.runtime.blocked_loop import BlockedLoop
from streamapp.runtime.committer import _to_commit
from streamapp.runtime.intake import Halt, Intake
from streamapp.runtime.lost_positions import Lost
from streamapp.runtime.membership import Membership
from streamapp.runtime.partition import Partition, Phase
from tests.simulation.planting import Mutant, replaced


def end_in_a_replay_commits_nothing() -> AbstractContextManager[None]:
    def to_commit(partition: Partition) -> CommittedOffset | None:
        return None if partition.phase is Phase.SUSPENDED else _to_commit(partition)

    return replaced(committer_module, "_to_commit", to_commit)


def stop_does_not_commit() -> AbstractContextManager[None]:
    async def leave(membership: Membership) -> bool:
        membership._intake.halt(Halt.ENDING)
        seconds = membership._env.config.shutdown_drain_seconds
        drained = await membership._in_flight.drain(seconds, membership._replay.needed)
        membership._close_partitions()
        return drained

    return replaced(Membership, "leave", leave)


def blocked_loop_is_not_noticed() -> AbstractContextManager[None]:
    return replaced(BlockedLoop, "_note", lambda *_: None)


def first_block_ends_the_stage() -> AbstractContextManager[None]:
    return replaced(blocked_loop_module, "MOST_TIMES", 1)


def unreadable_record_ends_the_stage_at_once() -> AbstractContextManager[None]:
    original = Intake._hold

    def hold(intake: Intake, error: UnreadableRecordError, asked: Any) -> None:
        original(intake, error, asked)
        intake.on_dead_end(error)

    return replaced(Intake, "_hold", hold)


def truncation_taken_for_retention() -> AbstractContextManager[None]:
    return replaced(Lost, "is_beyond_end", property(lambda _lost: False))


FOURTH: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        end_in_a_replay_commits_nothing,
        stop_does_not_commit,
        blocked_loop_is_not_noticed,
        first_block_ends_the_stage,
        unreadable_record_ends_the_stage_at_once,
        truncation_taken_for_retention,
    )
}
