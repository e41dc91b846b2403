"""Whether a group has finished a record, by what it has committed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamapp.brokers.protocols import Admin, CommittedOffset
from streamapp.record import TopicPartition
from streamapp.record_way.found import Address
from streamapp.runtime.commit_metadata import decode, is_ours


class Standing(StrEnum):
    """What a group has done with a record."""

    FINISHED = "finished"
    WAITS = "waits"  # it is not finished: it was not read yet, or is worked on
    NOT_READ = "not read"  # the group has committed nothing in its partition


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a group is with a record.

    Attributes:
        group: name of the group.
        standing: what it has done.
        is_ahead: whether it was finished while an earlier one was not.
        committed: the offset that the group has committed; `None` without one.
        unfinished_before: offsets before it that are not finished; `None` if that is not known.
        end: where the partition ends.
        members: members of the group now.
        is_own_commit: whether a stage has committed, and no other program.
    """

    group: str
    standing: Standing
    is_ahead: bool
    committed: int | None
    unfinished_before: int | None
    end: int
    members: int
    is_own_commit: bool


class ProgressReader:
    """Asks how far groups are.

    Args:
        admin: asks Kafka.
    """

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._committed: dict[str, Mapping[TopicPartition, CommittedOffset]] = {}
        self._members: dict[str, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    async def of(self, group: str, at: Address) -> Progress:
        """How far a group is with the record at this place.

        Raises:
            BrokerError: Kafka does not answer.
        """
        if group not in self._committed:
            self._committed[group] = await self._admin.committed_offsets(group)
            self._members[group] = await self._admin.member_count(group)
        if at.place not in self._ends:
            self._ends |= await self._admin.end_offsets([at.place])
        stored, end = self._committed[group].get(at.place), self._ends[at.place]
        members = self._members[group]
        if stored is None:
            return Progress(
                group,
                Standing.NOT_READ,
                is_ahead=False,
                committed=None,
                unfinished_before=None,
                end=end,
                members=members,
                is_own_commit=False,
            )
        ahead = decode(stored.metadata, stored.offset)
        is_ahead = at.offset in ahead
        is_finished = at.offset < stored.offset or is_ahead
        unfinished = at.offset - stored.offset - sum(one < at.offset for one in ahead)
        return Progress(
            group,
            Standing.FINISHED if is_finished else Standing.WAITS,
            is_ahead=is_ahead,
            committed=stored.offset,
            unfinished_before=max(0, unfinished),
            end=end,
            members=members,
            is_own_commit=is_ours(stored.metadata, stored.offset),
        )
