"""Topics and group offsets of a Kafka cluster."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka.errors import NoError, NotControllerError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.admin import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeConfigsRequest,
)

from streamapp.brokers.kafka import groups
from streamapp.brokers.kafka.alter_configs import IncrementalAlterConfigsRequest
from streamapp.brokers.kafka.connection import Connection
from streamapp.brokers.kafka.failures import topic_error
from streamapp.brokers.kafka.request_client import EARLIEST, LATEST, RequestClient, raise_for
from streamapp.brokers.kafka.topic_names import TopicNamesRequest, TopicNamesResponse
from streamapp.brokers.protocols import (
    CommittedOffset,
    GroupMember,
    TopicDescription,
    TopicSpec,
)
from streamapp.errors import OffsetOutOfRangeError as OutOfRangeError
from streamapp.record import TopicPartition

_TIMEOUT_MS = 30_000  # for the controller's own work; `RequestClient.operation` waits as long
_BROKERS_DEFAULT = -1  # for the replication factor of a topic
_TOPIC = 2  # the resource type of topics in Kafka's protocol


class KafkaAdmin:
    """Admin client of a Kafka cluster."""

    def __init__(self, connection: Connection) -> None:
        self._requests = RequestClient(connection)

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerError: Kafka cannot be reached.
        """
        await self._requests.start()

    async def stop(self) -> None:
        """Close the connections."""
        await self._requests.stop()

    async def list_topics(self) -> frozenset[str]:
        """Names of all topics except Kafka's internal ones."""
        async with self._requests.operation("listing topics"):
            answer: TopicNamesResponse = await self._requests.send(TopicNamesRequest())
        return answer.names

    async def describe_topics(self, names: Collection[str]) -> Mapping[str, TopicDescription]:
        """Descriptions of the named topics that exist."""
        async with self._requests.operation("describing topics"):
            found = await self._requests.topics(names) if names else {}
            configs = await self._configs(list(found))
        return {
            name: TopicDescription(
                name=name,
                partitions=len(topic["partitions"]),
                replication_factor=len(topic["partitions"][0]["replicas"]),
                config=configs[name],
            )
            for name, topic in found.items()
            if name in configs
        }

    async def partition_counts(self, names: Collection[str]) -> Mapping[str, int]:
        """Number of partitions of those of the named topics that exist."""
        async with self._requests.operation("asking for topics"):
            found = await self._requests.topics(names) if names else {}
        return {name: len(topic["partitions"]) for name, topic in found.items()}

    async def create_topics(self, topics: Collection[TopicSpec]) -> None:
        """Create topics and wait until every broker knows them.

        When one is refused, the others are created all the same.

        Raises:
            TopicError: a topic exists already, or Kafka refuses its name or configuration.
        """
        if not topics:
            return
        specs: list[tuple[Any, ...]] = [
            (spec.name, spec.partitions, _copies(spec), [], list(spec.config.items()))
            for spec in topics
        ]
        async with self._requests.operation("creating topics"):
            request = CreateTopicsRequest(specs, _TIMEOUT_MS, validate_only=False)
            await self._change_topics(request, "topic_errors")
            await self._wait_for({spec.name: spec.partitions for spec in topics})

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with all their records, and wait until no broker lists them.

        Raises:
            TopicError: a topic does not exist.
        """
        if not names:
            return
        async with self._requests.operation("deleting topics"):
            request = DeleteTopicsRequest(list(names), _TIMEOUT_MS)
            await self._change_topics(request, "topic_error_codes")
            await self._wait_for(dict.fromkeys(names, 0))

    async def add_partitions(self, topic: str, total: int) -> None:
        """Raise the number of partitions to `total`, and wait until every broker knows them.

        Raises:
            TopicError: the topic does not exist or has `total` or more partitions already.
        """
        async with self._requests.operation(f"topic {topic!r}: adding partitions"):
            request = CreatePartitionsRequest([(topic, (total, None))], _TIMEOUT_MS, False)  # noqa: FBT003 - not only validate
            await self._change_topics(request, "topic_errors")
            await self._wait_for({topic: total})

    async def alter_topic_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Set these configuration values of a topic; other values stay.

        Raises:
            TopicError: the topic does not exist or a value is refused.
        """

        async def applied() -> bool:
            now = (await self._configs([topic])).get(topic, {})
            return all(now.get(name) == value for name, value in config.items())

        async with self._requests.operation(f"topic {topic!r}: changing its configuration"):
            request = IncrementalAlterConfigsRequest(topic, config)
            answer = await self._requests.send_to_controller(request)
            for code, message, _, name in answer.resources:
                if code:
                    raise topic_error(name, for_code(code)(), message)
            await self._requests.wait_until(applied)

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Delete the records of each partition before the given offset.

        Raises:
            OffsetOutOfRangeError: an offset is past the end of its log.
        """
        async with self._requests.operation("deleting records"):
            for leader, led in (await self._requests.by_leader(before)).items():
                asked = [(p.topic, [(p.partition, before[p])]) for p in led]
                request = DeleteRecordsRequest(asked, _TIMEOUT_MS)
                answer = await self._requests.send(request, node_id=leader)
                for topic, partitions, *_topic_tags in answer.topics:
                    for number, _low_watermark, code, *_tags in partitions:
                        partition = TopicPartition(topic, number)
                        if for_code(code) is OffsetOutOfRangeError:
                            raise OutOfRangeError(
                                f"cannot delete records of {partition} before "
                                f"{before[partition]}: the log ends earlier",
                                offsets={partition: before[partition]},
                            )
                        raise_for(code, str(partition))

    async def committed_offsets(self, group: str) -> Mapping[TopicPartition, CommittedOffset]:
        """Committed offsets of the group, with their metadata; empty for an unknown group."""
        return await groups.committed_offsets(self._requests, group)

    async def list_groups(self) -> frozenset[str]:
        """Names of all consumer groups that have members or committed offsets."""
        return await groups.list_groups(self._requests)

    async def member_count(self, group: str) -> int:
        """Number of members of a group; 0 for an unknown group."""
        return await groups.member_count(self._requests, group)

    async def members(self, group: str) -> Sequence[GroupMember]:
        """The members of a group as they are now; none of an unknown group."""
        return await groups.members(self._requests, group)

    async def subscribed_topics(self, group: str) -> frozenset[str]:
        """Topics that members of a group subscribe to; none for an unknown group."""
        return await groups.subscribed_topics(self._requests, group)

    async def set_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """Set the committed offsets of a group that has no members.

        Raises:
            CommitRefusedError: the group has members.
        """
        await groups.set_offsets(self._requests, group, offsets)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Last stable offset of each partition."""
        return await self._requests.list_offsets(partitions, LATEST)

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""
        return await self._requests.list_offsets(partitions, EARLIEST)

    async def offsets_from(
        self, partitions: Collection[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int]:
        """The first offset of each partition whose record has this timestamp or a later one."""
        found = await self._requests.list_offsets(partitions, timestamp_ms)
        without = [partition for partition, offset in found.items() if offset < 0]
        return {**found, **await self.end_offsets(without)}

    async def _configs(self, names: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """Effective configuration of the topics; topics deleted meanwhile are left out."""
        if not names:
            return {}
        request = DescribeConfigsRequest([(_TOPIC, name, None) for name in names])
        answer = await self._requests.send(request)
        return {
            name: {entry[0]: entry[1] for entry in entries}
            for code, _, _, name, entries in answer.resources
            if not code
        }

    async def _change_topics(self, request: Any, field: str) -> None:
        """Send a request about topics to the controller, and raise the first error it returns."""

        async def ask() -> Any:
            errors = getattr(await self._requests.send_to_controller(request), field)
            for _, code, *_ in errors:
                if for_code(code) is NotControllerError:
                    raise NotControllerError
            return errors

        for topic, code, *message in await self._requests.retry(ask):
            error = for_code(code)
            if error is not NoError:
                raise topic_error(topic, error(), message[0] if message else None)

    async def _wait_for(self, partitions: Mapping[str, int]) -> None:
        """Wait until every broker knows the topics with these numbers of partitions.

        Only partitions with a leader count. 0 partitions means that the topic is deleted.
        """

        async def all_know() -> bool:
            for node_id in self._requests.node_ids():
                found = await self._requests.topics(list(partitions), node_id=node_id)
                for name, count in partitions.items():
                    entries = found[name]["partitions"] if name in found else []
                    if sum(entry["leader"] >= 0 for entry in entries) != count:
                        return False
            return True

        await self._requests.wait_until(all_know)


def _copies(spec: TopicSpec) -> int:
    return _BROKERS_DEFAULT if spec.replication_factor is None else spec.replication_factor
