"""Reads and sets committed offsets of consumer groups, without being a member of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.client import CoordinationType
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeGroupsRequest, ListGroupsRequest
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest

from streamapp.brokers.kafka.failures import LOST_MEMBERSHIP
from streamapp.brokers.kafka.request_client import RequestClient, by_topic, raise_for
from streamapp.brokers.protocols import CommittedOffset, GroupMember
from streamapp.errors import CommitRefusedError
from streamapp.record import TopicPartition

_NO_MEMBER = ""


async def list_groups(requests: RequestClient) -> frozenset[str]:
    """Names of all groups. Every broker is asked, as each knows only the groups it coordinates."""

    async def ask() -> frozenset[str]:
        names: set[str] = set()
        for node_id in requests.node_ids():
            answer = await requests.send(ListGroupsRequest(), node_id=node_id)
            raise_for(answer.error_code, f"node {node_id}")
            names.update(name for name, *_ in answer.groups)
        return frozenset(names)

    async with requests.operation("listing groups"):
        return await requests.retry(ask)


async def member_count(requests: RequestClient, group: str) -> int:
    """Number of members of a group."""
    return len(await _members(requests, group))


async def members(requests: RequestClient, group: str) -> Sequence[GroupMember]:
    """The members of a group, with what is assigned to them."""
    # Of a member: its id, client, host, what it has told when it joined, and its assignment.
    return [
        GroupMember(client_id, host.removeprefix("/"), _assigned(assignment))
        for _, client_id, host, _, assignment, *_ in await _members(requests, group)
    ]


def _assigned(assignment: bytes) -> frozenset[TopicPartition] | None:
    """The partitions in an assignment; `None` if it is empty or in a form of another client."""
    if not assignment:
        return None
    try:
        decoded = ConsumerProtocolMemberAssignment.decode(assignment)
    except Exception:  # noqa: BLE001 - whatever another client has written
        return None
    return frozenset(
        TopicPartition(topic, partition)
        for topic, partitions in decoded.assignment
        for partition in partitions
    )


async def subscribed_topics(requests: RequestClient, group: str) -> frozenset[str]:
    """Topics that members of a group subscribe to."""
    # Of a member: its id, client, host, what it has told when it joined, and its assignment. During
    # a rebalance the third is empty.
    told = [member[3] for member in await _members(requests, group) if member[3]]
    return frozenset(
        topic
        for metadata in told
        for topic in ConsumerProtocolMemberMetadata.decode(metadata).subscription
    )


async def _members(requests: RequestClient, group: str) -> Sequence[Any]:
    async def ask() -> Sequence[Any]:
        answer = await _ask_coordinator(requests, group, DescribeGroupsRequest([group]))
        code, _, _, _, _, members, *_ = answer.groups[0]
        raise_for(code, group)
        found: Sequence[Any] = members
        return found

    async with requests.operation(f"group {group!r}: asking for its members"):
        return await requests.retry(ask)


async def committed_offsets(
    requests: RequestClient, group: str
) -> Mapping[TopicPartition, CommittedOffset]:
    """Committed offsets of a group, with their metadata; empty for an unknown group."""

    async def ask() -> Any:
        answer = await _ask_coordinator(requests, group, OffsetFetchRequest(group, None))
        raise_for(answer.error_code, group)
        return answer.topics

    async with requests.operation(f"group {group!r}: reading its offsets"):
        topics = await requests.retry(ask)
    return {
        TopicPartition(topic, partition): CommittedOffset(offset, metadata or "")
        for topic, partitions in topics
        for partition, offset, metadata, _ in partitions
        if offset >= 0
    }


async def set_offsets(
    requests: RequestClient, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
) -> None:
    """Set the committed offsets of a group that has no members.

    The request is the one of a consumer that chooses its partitions itself.

    Raises:
        CommitRefusedError: the group has members.
    """
    asked = [
        (topic, [(n, *_stored(offsets[TopicPartition(topic, n)])) for n in numbers])
        for topic, numbers in by_topic(offsets)
    ]

    async def ask() -> None:
        request = OffsetCommitRequest(
            group,
            OffsetCommitRequest.DEFAULT_GENERATION_ID,
            _NO_MEMBER,
            OffsetCommitRequest.DEFAULT_RETENTION_TIME,
            asked,
        )
        answer = await _ask_coordinator(requests, group, request)
        for topic, partitions in answer.topics:
            for partition, code in partitions:
                if code and issubclass(for_code(code), LOST_MEMBERSHIP):
                    raise CommitRefusedError(
                        f"group {group!r} has members, so its offsets are theirs to commit; "
                        "stop its workers first"
                    )
                raise_for(code, f"{topic}-{partition}")

    if not offsets:
        return
    async with requests.operation(f"group {group!r}: setting its offsets"):
        await requests.retry(ask)


def _stored(committed: CommittedOffset) -> tuple[int, str]:
    return committed.offset, committed.metadata


async def _ask_coordinator(requests: RequestClient, group: str, request: Any) -> Any:
    """Send a request to the broker that coordinates the group."""
    found = await requests.send(FindCoordinatorRequest(group, CoordinationType.GROUP))
    raise_for(found.error_code, group)
    return await requests.send(request, node_id=found.coordinator_id)
