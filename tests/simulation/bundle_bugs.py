"""Bugs in how stages of a bundle share one consumer.

Each changes one named place. If that place no longer exists, planting fails with an error that says
so; then the bug has to be moved.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from streamapp.brokers.shared.member import Reader, SharedMember
from streamapp.brokers.shared.together import Together
from streamapp.brokers.shared.view import View
from streamapp.record import TopicPartition
from tests.simulation.planting import Mutant, replaced


def one_of_a_bundle_is_not_told_of_a_revocation() -> AbstractContextManager[None]:
    """It goes on with partitions that another worker has now."""

    async def on_partitions_revoked(
        member: SharedMember, partitions: frozenset[TopicPartition]
    ) -> None:
        async with member._telling:
            await member._tell(list(member._readers)[1:], partitions, is_assigned=False)
            await member._forget_assignment()

    return replaced(SharedMember, "on_partitions_revoked", on_partitions_revoked)


def stage_that_comes_back_to_a_bundle_goes_on_where_the_client_is() -> AbstractContextManager[None]:
    """Its unfinished records are passed over: the group has to join again to be given them."""
    original = SharedMember._start

    async def start(member: SharedMember, reader: Reader) -> None:
        reader.left = 0
        await original(member, reader)

    return replaced(SharedMember, "_start", start)


def joint_commit_is_of_the_first_only() -> AbstractContextManager[None]:
    """The others are told that theirs has been made."""
    original = Together._make

    async def make(together: Together[Any, Any], batch: list[Any]) -> None:
        await original(together, batch[:1])
        for asked in batch[1:]:
            if not asked.answer.done():
                asked.answer.set_result(dict.fromkeys(asked.what, 0))

    return replaced(Together, "_make", make)


def partitions_of_the_others_are_taken_too() -> AbstractContextManager[None]:
    def own(_member: SharedMember, _reader: Reader, names: Any) -> frozenset[TopicPartition]:
        return frozenset(names)

    return replaced(SharedMember, "own", own)


def stage_of_a_bundle_is_not_woken() -> AbstractContextManager[None]:
    return replaced(View, "wake", lambda _view: None)


SEVENTH: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        one_of_a_bundle_is_not_told_of_a_revocation,
        stage_that_comes_back_to_a_bundle_goes_on_where_the_client_is,
        joint_commit_is_of_the_first_only,
        partitions_of_the_others_are_taken_too,
        stage_of_a_bundle_is_not_woken,
    )
}
