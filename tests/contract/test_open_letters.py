"""Open dead letters are counted exactly, reading offsets, new entries of the ledger and first ones.

And they are told by one worker of a stage.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.clock import SystemClock
from streamapp.dead_letter_tools import letter_counter
from streamapp.dead_letter_tools.discarding import discard
from streamapp.dead_letter_tools.letter_counter import LetterCounter
from streamapp.dead_letter_tools.reading import ends_of_letters
from streamapp.dead_letter_tools.sending import LedgerWriter
from streamapp.errors import BrokerError
from streamapp.letters.selection import Selection
from streamapp.observability.open_letters import OpenLetters
from streamapp.record import TopicPartition
from streamapp.runtime.config import RuntimeConfig
from tests.contract.harness import Subject
from tests.contract.pipelines import eventually
from tests.contract.test_sending_back import CLOCK, Shop

QUICK = RuntimeConfig(commit_interval_seconds=0.05, letter_count_interval_seconds=0.2)


@pytest.fixture
def shop(subject: Subject) -> Shop:
    return Shop(subject)


@asynccontextmanager
async def counting(shop: Shop) -> AsyncIterator[LetterCounter]:
    async with shop.rig.subject.admin() as admin:
        yield LetterCounter(shop.broker, admin, SystemClock())


async def discarded(shop: Shop, key: bytes) -> int:
    async with shop.rig.subject.admin() as admin:
        writer = LedgerWriter(shop.broker, admin, shop.topic)
        await writer.start()
        ends = await ends_of_letters(admin, shop.topic)
        count = await discard(shop.broker, writer, Selection(keys=[key]), ends, CLOCK, why="-")
        await writer.stop()
        return count


async def count_of(counter: LetterCounter, shop: Shop) -> OpenLetters:
    return (await counter.count([shop.topic]))[shop.topic]


async def test_what_was_replayed_or_discarded_is_not_open_and_the_first_of_the_rest_is_the_oldest(
    shop: Shop,
) -> None:
    await shop.rig.create(shop.pipeline, partitions=1)
    hour_ago = CLOCK.time() - 3600
    for n in (1, 3, 5, 7):
        stamp = int((hour_ago + n) * 1000)
        await shop.rig.put([(b"%d" % n, b'{"n":%d}' % n)], timestamp=stamp)
    await shop.rig.run_to_end(shop.pipeline)
    async with counting(shop) as counter:

        async def count_and_age(own: LetterCounter = counter) -> tuple[int, float]:
            found = await count_of(own, shop)
            age = found.age_seconds(CLOCK.monotonic())
            assert age is not None
            return found.count, round(CLOCK.time() - age - hour_ago)

        assert await count_and_age() == (4, 1)
        assert await discarded(shop, b"3") == 1
        assert await count_and_age() == (3, 1)
        await shop.send(limit=1)
        assert await count_and_age() == (2, 5)
        async with counting(shop) as other:  # has seen nothing of this
            assert await count_and_age(other) == (2, 5)
        await shop.send("r2")
        assert (await count_of(counter, shop)).count == 0
        await shop.rig.run_to_end(shop.pipeline)
        # Sent back and failed again, they are new letters.
        assert (await count_of(counter, shop)).count == 3


async def test_letters_that_retention_has_deleted_are_not_open_done_or_not(shop: Shop) -> None:
    await shop.fill(10)
    async with counting(shop) as counter, shop.rig.subject.admin() as admin:
        await shop.send(limit=2)
        assert (await count_of(counter, shop)).count == 4
        await admin.delete_records(await ends_of_letters(admin, shop.topic))
        found = await count_of(counter, shop)
        assert (found.count, found.oldest_at, found.expires_at) == (0, None, None)


async def test_entries_of_an_earlier_topic_of_the_same_name_do_not_count(shop: Shop) -> None:
    await shop.fill(4)
    async with counting(shop) as counter, shop.rig.subject.admin() as admin:
        await shop.send()
        assert (await count_of(counter, shop)).count == 0
        [description] = (await admin.describe_topics([shop.topic])).values()
        await admin.delete_topics([shop.topic])
        assert await counter.count([shop.topic]) == {}
        await admin.create_topics([TopicSpec(shop.topic, description.partitions)])
        await shop.rig.put_items([3, 5, 7])
        await shop.rig.run_to_end(shop.pipeline)
        known = sum((await ends_of_letters(admin, shop.topic)).values())
        async with counting(shop) as other:
            assert (await count_of(other, shop)).count == known >= 3
        assert (await count_of(counter, shop)).count == known


async def test_of_a_compacted_topic_nothing_is_told_as_its_offsets_have_gaps(
    subject: Subject,
) -> None:
    topic = await subject.topic(cleanup_policy="compact,delete")
    async with subject.admin() as admin:
        assert await LetterCounter(subject.broker, admin, CLOCK).count([topic]) == {}


async def test_of_two_workers_the_one_with_the_first_partition_tells_and_both_seen_together_once(
    shop: Shop,
) -> None:
    await shop.fill(10)
    first = TopicPartition(shop.rig.source().name, 0)
    async with (
        shop.rig.running(shop.pipeline, config=QUICK) as one,
        shop.rig.running(shop.pipeline, config=QUICK) as other,
    ):

        def tell() -> list[bool]:
            found = [service.metrics[0] for service in (one, other)]
            shared = all(len(metrics.partitions) == 1 for metrics in found)
            told = [metrics.open_letters is not None for metrics in found]
            return told if shared and told == [first in m.partitions for m in found] else []

        await eventually(lambda: sorted(tell()) == [False, True])
        counts = [service.metrics[0].open_letters for service in (one, other)]
        assert [found.count for found in counts if found is not None] == [6]


async def test_a_count_that_fails_disturbs_no_stage_and_leaves_no_old_figure(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.fill(2)
    async with shop.rig.running(shop.pipeline, config=QUICK) as service:
        [metrics] = service.metrics
        await eventually(lambda: metrics.open_letters is not None)

        async def refused(*_: object) -> None:
            raise BrokerError("not allowed")

        monkeypatch.setattr(letter_counter, "ends_of", refused)
        await eventually(lambda: metrics.open_letters is None)
        await shop.rig.put_items([2])
        await eventually(lambda: metrics.processed == 1)
        monkeypatch.undo()
        await eventually(lambda: metrics.open_letters is not None)
