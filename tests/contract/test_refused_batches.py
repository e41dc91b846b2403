"""Which batches a broker refuses for what is in them, and that it says so."""

import asyncio
import time
from typing import Any

import pytest

from streamapp.errors import BatchRefusedError
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.patience import within

DAY_MS = 24 * 3_600_000


@pytest.mark.parametrize(
    ("config", "days", "is_taken"),
    [
        ({}, 2, False),
        ({}, -30, True),
        ({"message_timestamp_after_max_ms": str(3 * DAY_MS)}, 2, True),
        ({"message_timestamp_before_max_ms": str(10 * DAY_MS)}, -30, False),
        ({"message_timestamp_before_max_ms": str(10 * DAY_MS)}, -5, True),
        ({"message_timestamp_type": "LogAppendTime"}, 2, True),
    ],
)
async def test_a_batch_with_a_timestamp_that_the_topic_refuses_is_refused_as_such(
    subject: Subject, config: Any, days: int, is_taken: bool
) -> None:
    topic = await subject.topic(**config)
    async with subject.producer() as producer:
        batch = producer.create_batch()
        now = int(time.time() * 1000)
        for timestamp in (now, now + days * DAY_MS):
            assert batch.append(timestamp=timestamp, key=b"k", value=b"1") is not None
        acknowledgement = await producer.send_batch(batch, topic, 0)
        async with within(PATIENCE_SECONDS, "an answer"):
            await asyncio.wait({acknowledgement})
        error = acknowledgement.exception()
    assert error is None if is_taken else isinstance(error, BatchRefusedError)
    assert is_taken or (isinstance(error, BatchRefusedError) and error.is_certain)


async def test_a_batch_with_a_record_without_a_key_is_refused_by_a_compacted_topic(
    subject: Subject,
) -> None:
    topic = await subject.topic(cleanup_policy="compact")
    async with subject.producer() as producer:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=b"1")
        acknowledgement = await producer.send_batch(batch, topic, 0)
        async with within(PATIENCE_SECONDS, "an answer"):
            await asyncio.wait({acknowledgement})
        assert isinstance(acknowledgement.exception(), BatchRefusedError)


async def test_a_batch_that_is_too_large_is_refused_as_such(subject: Subject) -> None:
    topic = await subject.topic(max_message_bytes="2000")
    async with subject.producer() as producer:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=b"x" * 3000)
        acknowledgement = await producer.send_batch(batch, topic, 0)
        async with within(PATIENCE_SECONDS, "an answer"):
            await asyncio.wait({acknowledgement})
        assert isinstance(acknowledgement.exception(), BatchRefusedError)
