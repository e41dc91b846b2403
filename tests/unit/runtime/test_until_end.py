"""Bounded work ends at the end of every partition, whatever is left of it."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.errors import BrokerError
from streamapp.pipeline.agent import agent
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from tests.patience import within
from tests.unit.runtime.agents import same
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

NO_COMMIT_SOON = RuntimeConfig(commit_interval_seconds=3600)


@pytest.mark.parametrize(("left", "config"), [(0, NO_COMMIT_SOON), (2, RuntimeConfig())])
@in_virtual_time
async def test_it_ends_when_retention_has_emptied_a_partition_that_was_never_committed(
    left: int, config: RuntimeConfig
) -> None:
    broker = await broker_for("p", partitions=2)
    for partition in range(2):
        await broker.write("p-in", *[(b"k", b"%d" % n) for n in range(5)], partition=partition)
    await broker.admin().delete_records(
        {TopicPartition("p-in", 0): 5 - left, TopicPartition("p-in", 1): 5}
    )
    async with within(60, "the end of bounded work"):
        await service(broker, one_stage(same), config=config).run(until_end=True)
    assert len(broker.values("p-out", 0)) + len(broker.values("p-out", 1)) == left


@in_virtual_time
async def test_the_end_is_committed_at_once_though_it_is_known_after_the_last_record_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"a", b"1"), (b"b", b"2"))
    end_offsets = MemoryAdmin.end_offsets

    async def late(admin: MemoryAdmin, names: Sequence[TopicPartition]) -> Any:
        await asyncio.sleep(10)
        assert broker.values("p-out") == [b"1", b"2"]
        return await end_offsets(admin, names)

    monkeypatch.setattr(MemoryAdmin, "end_offsets", late)
    async with within(20, "the end of bounded work"):
        await service(broker, one_stage(same), config=NO_COMMIT_SOON).run(until_end=True)
    assert await broker.committed("p.stage") == 2


@in_virtual_time
async def test_it_does_not_end_before_what_is_left_of_such_a_partition_is_committed() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", *[(b"%d" % n, b"%d" % n) for n in range(5)])
    await broker.admin().delete_records({TopicPartition("p-in", 0): 3})

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(30)
        return value

    await service(broker, one_stage(slow)).run(until_end=True)
    assert set(broker.values("p-out")) == {b"3", b"4"}
    assert await broker.committed("p.stage") == 5


@in_virtual_time
async def test_the_end_is_noticed_within_a_fifth_of_a_second() -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(2.5)
        return value

    await service(broker, one_stage(slow)).run(until_end=True)
    assert 2.5 < loop().time() < 3


@in_virtual_time
async def test_a_question_without_an_answer_is_asked_again_after_a_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    end_offsets, asked_at = MemoryAdmin.end_offsets, list[float]()

    async def silent(admin: MemoryAdmin, names: Sequence[TopicPartition]) -> Any:
        asked_at.append(loop().time())
        if len(asked_at) < 4:
            raise BrokerError("the coordinator moved")
        return await end_offsets(admin, names)

    monkeypatch.setattr(MemoryAdmin, "end_offsets", silent)
    await service(broker, one_stage(same)).run(until_end=True)
    assert [later - earlier for earlier, later in pairwise(asked_at)] == pytest.approx([1, 1, 1])
    told = [text for text in caplog.messages if "offsets could not be read" in text]
    assert len(told) == 3
    assert broker.values("p-out") == [b"1"]
