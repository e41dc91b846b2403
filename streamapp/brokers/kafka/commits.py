"""Commits of a group member, which do not wait for topics that are gone."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.structs import TopicPartition
from aiokafka.util import commit_structure_validate

_RETRY_SECONDS = 0.1
_LOOKS = 3
"""Times that a topic has to be missing before it counts as gone: a broker may be about to learn."""

_LOST = (
    kafka_errors.UnknownMemberIdError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.RebalanceInProgressError,
)


async def commit(client: Any, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
    """Commit, and try again while that can help; set a deadline around this.

    The client's own `commit` does the same, but tries for ever if a topic was deleted, so that the
    offsets of all other topics are late, and a rebalance too. Here those of a deleted topic are
    left out: nobody will read it.

    Raises:
        KafkaError: the commit was refused.
    """
    coordinator = client._coordinator  # noqa: SLF001 - there is no public way
    assignment = client._subscription.subscription.assignment  # noqa: SLF001 - see above
    if assignment is None:
        raise kafka_errors.IllegalStateError("No partitions assigned")
    left = commit_structure_validate(offsets)
    missing: list[set[str]] = []
    while left:
        await coordinator.ensure_coordinator_known()
        try:
            async with coordinator._commit_lock:  # noqa: SLF001 - see above
                await asyncio.shield(coordinator._do_commit_offsets(assignment, left))  # noqa: SLF001 - see above
        except _LOST as error:
            raise kafka_errors.CommitFailedError(
                "the group has rebalanced and may have assigned the partitions to another member"
            ) from error
        except kafka_errors.UnknownTopicOrPartitionError:
            await client._client.force_metadata_update()  # noqa: SLF001 - see above
            known = client._client.cluster.topics(exclude_internal_topics=False)  # noqa: SLF001 - see above
            missing.append({place.topic for place in left} - known)
            gone = set.intersection(*missing[-_LOOKS:]) if len(missing) >= _LOOKS else set()
            left = {place: kept for place, kept in left.items() if place.topic not in gone}
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise
        else:
            return
        await asyncio.sleep(_RETRY_SECONDS)
