"""Positions of an assignment in which a topic is deleted: the others get theirs, and it goes on."""

import asyncio
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streamapp.brokers.kafka import position_tracker
from streamapp.brokers.kafka.connection import Connection
from streamapp.brokers.kafka.position_tracker import PositionTracker
from streamapp.brokers.protocols import ConsumerConfig
from streamapp.record import TopicPartition
from streamapp.settings import KafkaSettings
from tests.patience import within

KEPT, GONE = TopicPartition("kept", 0), TopicPartition("gone", 0)


class Client:
    """A consumer of the client library, of which one topic was deleted while it was assigned."""

    def __init__(self, known: Collection[str], *, answers: bool = True) -> None:
        cluster = SimpleNamespace(topics=lambda **_: set(known))
        self._client = SimpleNamespace(force_metadata_update=self._update, cluster=cluster)
        self._coordinator = SimpleNamespace(fetch_committed_offsets=self._committed)
        self.sought: dict[str, int] = {}
        self._answers = answers

    async def _update(self) -> bool:
        return self._answers

    async def _committed(self, _: Sequence[Any]) -> dict[Any, Any]:
        return {}

    async def beginning_offsets(self, partitions: Sequence[Any]) -> dict[Any, int]:
        if any(one.topic == GONE.topic for one in partitions):
            await asyncio.Event().wait()  # the client asks for a topic that is not there for ever
        return dict.fromkeys(partitions, 7)

    def seek(self, partition: Any, offset: int) -> None:
        self.sought[partition.topic] = offset


def tracker() -> PositionTracker:
    return PositionTracker(ConsumerConfig("g", ("kept", "gone")), Connection(KafkaSettings()))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(position_tracker, "CALL_TIMEOUT_SECONDS", 0.02)
    monkeypatch.setattr(position_tracker, "_RETRY_SECONDS", 0.0)


async def test_a_topic_that_is_gone_does_not_keep_the_others_from_their_positions() -> None:
    client, positions = Client(["kept"]), tracker()
    async with within(10, "the positions"):
        await positions.set_all(frozenset({KEPT, GONE}), lambda: client)
        await positions.wait_for(GONE)
    assert client.sought == {"kept": 7}
    assert positions.without_position == {GONE}  # it is not read


@pytest.mark.parametrize(
    ("known", "answers"), [(["kept", "gone"], True), (["kept"], False)], ids=["there", "silence"]
)
async def test_a_topic_that_is_there_or_may_be_is_waited_for(
    known: Sequence[str], *, answers: bool
) -> None:
    client, positions = Client(known, answers=answers), tracker()
    setting = asyncio.create_task(positions.set_all(frozenset({KEPT, GONE}), lambda: client))
    done, _ = await asyncio.wait({setting}, timeout=0.2)
    assert not done
    setting.cancel()
