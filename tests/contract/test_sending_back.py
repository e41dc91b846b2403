"""Dead letters are sent back to their stages, each once; and what becomes of them is told."""

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import aclosing
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.clock import SystemClock
from streamapp.dead_letter_tools.discarding import discard
from streamapp.dead_letter_tools.fates import Fate, Sorting
from streamapp.dead_letter_tools.outcome import Outcome, outcome_of
from streamapp.dead_letter_tools.preview import Preview, Previewer
from streamapp.dead_letter_tools.reading import (
    ends_of_letters,
    read_ledger,
    read_letters,
)
from streamapp.dead_letter_tools.sending import LedgerWriter, Sender, Sent
from streamapp.dead_letter_tools.sent_before import sent_before
from streamapp.dead_letter_tools.targets import Targets
from streamapp.errors import FencedError, TopicError, UnreadableRecordError
from streamapp.letters.ledger import Ledger, LetterState, ledger_topic_of
from streamapp.letters.selection import Selection
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter
from streamapp.record import TopicPartition
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import Item, Rig, error_headers
from tests.kafka import unique_name

CLOCK = SystemClock()


class Shop:
    """A pipeline whose stage refuses odd numbers until it is mended, and its dead letters."""

    def __init__(self, subject: Subject) -> None:
        self.rig = Rig(subject, unique_name("sending"))
        self.is_mended = False
        self.calls: list[int] = []

        @agent
        async def check(item: Item) -> Item:
            self.calls.append(item.n)
            if item.n % 2 and not self.is_mended:
                raise ValueError("odd")
            return item

        self.pipeline: Pipeline[Any, Any] = (
            self.rig.pipeline().stage(check, on_error=dead_letter()).sink(self.rig.out)
        )

    @property
    def topic(self) -> str:
        return self.rig.dead_letters("check")

    @property
    def broker(self) -> Any:
        return self.rig.subject.broker

    async def fill(self, count: int = 10) -> None:
        await self.rig.create(self.pipeline, partitions=2)
        await self.rig.put_items(range(count))
        await self.rig.put([(b"k", b"{")], headers=[("trace", b"1")])
        await self.rig.run_to_end(self.pipeline)

    def sorting(
        self,
        max_replays: int = 3,
        again: Collection[str] = (),
        known: Mapping[bytes, str] | None = None,
        **selection: Any,
    ) -> Sorting:
        targets = Targets([build(self.pipeline)])
        return Sorting(Selection(**selection), targets, max_replays, again, known or {})

    async def preview(self, *, tries: bool = False, **options: Any) -> Preview:
        async with self.rig.subject.admin() as admin:
            previewer = Previewer(self.sorting(**options), tries=tries)
            ledger = await read_ledger(self.broker, admin, self.topic)
            await previewer.look(self.broker, ledger, await ends_of_letters(admin, self.topic))
            return previewer.result

    async def send(
        self,
        replay: str = "r1",
        *,
        limit: int | None = None,
        per_second: float | None = None,
        **options: Any,
    ) -> Sent:
        async with self.rig.subject.admin() as admin:
            targets = Targets([build(self.pipeline)]).all
            known = await sent_before(self.broker, admin, targets)
            ends = await ends_of_letters(admin, self.topic)
            writer = LedgerWriter(self.broker, admin, self.topic)
            try:
                await writer.start()
                sender = Sender(
                    writer,
                    admin,
                    self.sorting(known=known, **options),
                    replay,
                    CLOCK,
                    limit=limit,
                    per_second=per_second,
                )
                return await sender.send(self.broker, ends)
            finally:
                await writer.stop()

    async def letters(self) -> Mapping[str, LetterState]:
        """The state of each letter, by its value."""
        async with self.rig.subject.admin() as admin:
            ends = await ends_of_letters(admin, self.topic)
            ledger = await read_ledger(self.broker, admin, self.topic)
            return {
                (letter.value or b"").decode(): ledger.entry_of(letter).state
                async for letter in read_letters(self.broker, ends)
            }


@pytest.fixture
def shop(subject: Subject) -> Shop:
    return Shop(subject)


async def test_letters_are_sent_once_and_the_stage_works_on_them(shop: Shop) -> None:
    await shop.fill()
    shop.is_mended = True
    first = await shop.send()
    assert first.fates == {Fate.SEND: 6}
    again = await shop.send("r2")
    assert again.fates == {Fate.REPLAYED: 6}
    assert not again.sent
    replayed = await shop.rig.read(f"{shop.rig.name}.check.replay")
    assert len(replayed) == 6
    await shop.rig.run_to_end(shop.pipeline)
    assert sorted(await shop.rig.read_numbers(shop.rig.out)) == list(range(10))
    assert set((await shop.letters()).values()) == {LetterState.REPLAYED, LetterState.OPEN}


@pytest.mark.parametrize(("kept", "expected"), [(3_600_000, 604_800_000), (-1, None)])
async def test_what_is_sent_back_is_kept_as_long_as_letters_are_and_a_week_at_least(
    shop: Shop, kept: int, expected: int | None
) -> None:
    await shop.fill(2)
    replay = f"{shop.rig.name}.check.replay"
    async with shop.rig.subject.admin() as admin:
        await admin.alter_topic_config(shop.topic, {"retention.ms": str(kept)})
        await shop.send()
        found = (await admin.describe_topics([replay]))[replay]
    assert found.retention_ms == expected


async def test_who_is_killed_between_two_transactions_goes_on_behind_the_last_one(
    shop: Shop,
) -> None:
    await shop.fill(20)
    sent = await shop.send(limit=4)
    assert sent.fates[Fate.SEND] == 4
    sent = await shop.send("r2")
    assert (sent.fates[Fate.SEND], sent.fates[Fate.REPLAYED]) == (7, 4)
    records = await shop.rig.read(f"{shop.rig.name}.check.replay")
    assert len({(record.key, record.value) for record in records}) == len(records) == 11


async def test_who_reads_letters_is_in_no_group(shop: Shop) -> None:
    await shop.fill(20)
    await shop.send(limit=4)
    async with shop.rig.subject.admin() as admin:
        before = await admin.list_groups()
        ends = await ends_of_letters(admin, shop.topic)
        async with aclosing(read_letters(shop.broker, ends)) as letters:
            assert (await anext(letters)).place.topic == shop.topic
            assert await admin.list_groups() == before


async def test_of_two_that_send_the_first_is_stopped(shop: Shop) -> None:
    await shop.fill()
    async with shop.rig.subject.admin() as admin:
        ends = await ends_of_letters(admin, shop.topic)
        writer = LedgerWriter(shop.broker, admin, shop.topic)
        await writer.start()
        try:
            await shop.send()
            sender = Sender(writer, admin, shop.sorting(), "r0", CLOCK)
            with pytest.raises(FencedError, match=r"another replay or discard of .* has begun"):
                await sender.send(shop.broker, ends)
        finally:
            await writer.stop()
    assert len(await shop.rig.read(f"{shop.rig.name}.check.replay")) == 6


async def test_letters_behind_a_record_that_cannot_be_read_are_read_and_sent(shop: Shop) -> None:
    await shop.fill()
    place = TopicPartition(shop.topic, 0)
    await shop.rig.subject.put_unreadable(place)
    await shop.rig.put([(b"1", b'{"n":1}')] * 3, topic=shop.topic)
    async with shop.rig.subject.admin() as admin:
        ends = await ends_of_letters(admin, shop.topic)
        told: list[UnreadableRecordError] = []
        async with aclosing(read_letters(shop.broker, ends, on_unreadable=told.append)) as letters:
            assert len([letter async for letter in letters]) == 6 + 3
    assert {error.partition for error in told} == {place}


async def test_with_a_limit_those_are_sent_of_which_the_preview_told(shop: Shop) -> None:
    await shop.fill()
    async with shop.rig.subject.admin() as admin:
        previewer = Previewer(shop.sorting(), limit=3)
        ends = await ends_of_letters(admin, shop.topic)
        await previewer.look(shop.broker, Ledger(), ends)
        writer = LedgerWriter(shop.broker, admin, shop.topic)
        try:
            await writer.start()
            first = previewer.result.first
            sorting = replace(shop.sorting(), only=first)
            await Sender(writer, admin, sorting, "r1", CLOCK).send(shop.broker, ends)
            sent = {
                (letter.place, letter.offset)
                async for letter in read_letters(shop.broker, ends)
                if writer.ledger.entry_of(letter).state is LetterState.REPLAYED
            }
        finally:
            await writer.stop()
    assert len(first) == 3
    assert sent == first


async def test_what_a_replay_sent_is_sent_once_more_if_that_replay_is_named(shop: Shop) -> None:
    await shop.fill()
    await shop.send("r1", reasons=["decode"])
    await shop.send("r2")
    assert (await shop.send("r3", again=["r2"], limit=2)).fates[Fate.SEND] == 2
    # Called again, it goes on behind what was sent, and leaves what others sent.
    assert (await shop.send("r4", again=["r2"])).fates == {Fate.SEND: 3, Fate.NOT_MEANT: 3}
    assert (await shop.send("r5", again=["r2"])).fates == {Fate.NOT_MEANT: 6}
    assert (await shop.send("r6")).fates == {Fate.REPLAYED: 6}
    replayed = await shop.rig.read(f"{shop.rig.name}.check.replay")
    assert len(replayed) == 6 + 5
    shop.is_mended = True
    await shop.rig.run_to_end(shop.pipeline)
    assert sorted(await shop.rig.read_numbers(shop.rig.out)) == sorted([*range(10), 1, 3, 5, 7, 9])


async def test_without_its_ledger_nothing_is_sent_twice_but_by_name(shop: Shop) -> None:
    await shop.fill()
    await shop.send("r1", limit=4)
    async with shop.rig.subject.admin() as admin:
        await admin.delete_topics([ledger_topic_of(shop.topic)])
    assert (await shop.send("r2")).fates == {Fate.SENT_BEFORE: 4, Fate.SEND: 2}
    # The new ledger has entries, but not of those.
    assert (await shop.send("r3")).fates == {Fate.SENT_BEFORE: 4, Fate.REPLAYED: 2}
    assert (await shop.send("r4", again=["r1"])).fates == {Fate.SEND: 4, Fate.NOT_MEANT: 2}
    assert (await shop.send("r5")).fates == {Fate.REPLAYED: 6}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"max.message.bytes": "20000"}, "too large for topic"),
        ({"cleanup.policy": "compact"}, "without a key"),
    ],
    ids=["large", "no key"],
)
async def test_a_letter_that_its_replay_topic_refuses_is_told_and_the_others_are_sent(
    shop: Shop, config: Mapping[str, str], why: str
) -> None:
    await shop.rig.create(shop.pipeline, partitions=1)
    replay = f"{shop.rig.name}.check.replay"
    async with shop.rig.subject.admin() as admin:
        await admin.create_topics([TopicSpec(replay, 1, config=config)])
    await shop.rig.put_items([1])
    large = b'{"n":3,"text":"%s"}' % Random(1).randbytes(30_000).hex().encode()
    await shop.rig.put([(None, large)])
    await shop.rig.put_items([5])
    await shop.rig.run_to_end(shop.pipeline)
    sent = await shop.send()
    assert sent.fates == {Fate.SEND: 2, Fate.UNSENDABLE: 1}
    [told] = sent.unsendable.told()
    assert why in str(told)
    assert Counter((await shop.letters()).values()) == {
        LetterState.REPLAYED: 2,
        LetterState.OPEN: 1,
    }
    if needed := told.needed_bytes:
        async with shop.rig.subject.admin() as admin:
            await admin.alter_topic_config(replay, {"max.message.bytes": f"{needed}"})
        assert (await shop.send("r2")).fates == {Fate.SEND: 1, Fate.REPLAYED: 2}


async def test_only_what_is_selected_is_sent(shop: Shop) -> None:
    await shop.fill()
    sent = await shop.send(reasons=["decode"])
    assert sent.fates == {Fate.SEND: 1, Fate.NOT_MEANT: 5}
    [record] = await shop.rig.read(f"{shop.rig.name}.check.replay")
    assert (record.key, record.value) == (b"k", b"{")
    assert record.headers[0] == ("trace", b"1")
    facts = error_headers(record)
    assert (facts["reason"], facts["replays"], facts["replay"]) == ("decode", "1", "r1")


async def test_letters_of_a_key_keep_their_order(shop: Shop) -> None:
    await shop.fill(60)
    await shop.send(keys=[b"1"])
    records = await shop.rig.read(f"{shop.rig.name}.check.replay")
    numbers = [orjson.loads(record.value or b"")["n"] for record in records]
    assert numbers == [1, 11, 21, 31, 41, 51]


async def test_the_preview_says_what_the_code_reads_and_calls_no_agent(shop: Shop) -> None:
    await shop.fill()
    calls = len(shop.calls)
    preview = await shop.preview()
    [(target, stage)] = preview.stages.items()
    assert (target.name, stage.looked_at, stage.passed) == (f"{shop.rig.name}.check", 6, 5)
    [refused] = stage.refused.values()
    assert (refused.error, refused.count) == ("DecodeError", 1)
    assert refused.sample.startswith(f"{shop.topic}:")
    assert len(shop.calls) == calls
    assert set((await shop.letters()).values()) == {LetterState.OPEN}


async def test_the_preview_calls_the_agent_if_that_is_allowed(shop: Shop) -> None:
    await shop.fill()
    preview = await shop.preview(tries=True)
    [stage] = preview.stages.values()
    assert (stage.looked_at, stage.passed) == (6, 0)
    failures = {one.error: one.count for one in stage.refused.values()}
    assert failures == {"DecodeError": 1, "ValueError": 5}
    # Its fingerprints are those of the dead letters: the same failures at the same places.
    known = {error_headers(one)["fingerprint"] for one in await shop.rig.read(shop.topic)}
    assert set(stage.refused) == known
    shop.is_mended = True
    [stage] = (await shop.preview(tries=True)).stages.values()
    assert (stage.looked_at, stage.passed) == (6, 5)


async def test_a_letter_that_comes_back_too_often_is_quarantined_until_the_bound_is_raised(
    shop: Shop,
) -> None:
    await shop.fill()
    for times in range(1, 3):
        sent = await shop.send(f"r{times}", max_replays=2)
        assert sent.fates[Fate.SEND] == 6
        await shop.rig.run_to_end(shop.pipeline)
    sent = await shop.send("r3", max_replays=2)
    assert (sent.fates[Fate.SEND], sent.fates[Fate.QUARANTINE]) == (0, 6)
    sent = await shop.send("r4", max_replays=2)
    assert (sent.fates[Fate.SEND], sent.fates[Fate.QUARANTINED]) == (0, 6)
    sent = await shop.send("r5", max_replays=3)
    assert sent.fates[Fate.SEND] == 6
    records = await shop.rig.read(f"{shop.rig.name}.check.replay")
    assert sorted(int(error_headers(record)["replays"]) for record in records) == [
        *[1] * 6,
        *[2] * 6,
        *[3] * 6,
    ]


async def test_what_was_discarded_is_not_sent_and_the_ledger_says_why(shop: Shop) -> None:
    await shop.fill()
    async with shop.rig.subject.admin() as admin:
        writer = LedgerWriter(shop.broker, admin, shop.topic)
        await writer.start()
        ends = await ends_of_letters(admin, shop.topic)
        selection = Selection(reasons=["decode"])
        count = await discard(shop.broker, writer, selection, ends, CLOCK, why="a test")
        await writer.stop()
        assert count == 1
        ledger = await read_ledger(shop.broker, admin, shop.topic)
        [entry] = [
            ledger.entry_of(letter)
            async for letter in read_letters(shop.broker, ends)
            if letter.told.reason == "decode"
        ]
    assert (entry.state, entry.why) == (LetterState.DISCARDED, "a test")
    assert entry.told is not None
    assert (entry.told["stage"], entry.told["reason"]) == ("check", "decode")
    sent = await shop.send()
    assert sent.fates == {Fate.SEND: 5, Fate.DISCARDED: 1}


async def test_letters_of_a_topic_that_was_made_anew_are_not_taken_for_those_before(
    shop: Shop,
) -> None:
    await shop.fill(2)
    await shop.send()
    async with shop.rig.subject.admin() as admin:
        [description] = (await admin.describe_topics([shop.topic])).values()
        await admin.delete_topics([shop.topic])
        await admin.create_topics([TopicSpec(shop.topic, description.partitions)])
    await shop.rig.put_items([3, 5])
    await shop.rig.run_to_end(shop.pipeline)
    sent = await shop.send("r2")
    assert sent.fates[Fate.REPLAYED] == 0
    assert sent.fates[Fate.SEND] > 0


async def test_the_outcome_says_what_has_failed_again(shop: Shop) -> None:
    await shop.fill()
    async with shop.rig.subject.admin() as admin:
        since = await ends_of_letters(admin, shop.topic)
        sent = await shop.send("r7")

        async def outcome(seconds: float) -> Outcome:
            return await outcome_of(
                shop.broker,
                admin,
                CLOCK,
                sent,
                "r7",
                since,
                seconds=seconds,
            )

        assert (await outcome(0)).left > 0
        shop.is_mended = True
        async with shop.rig.running(shop.pipeline):
            found = await outcome(PATIENCE_SECONDS)
    assert found.left == 0
    assert (found.as_before, found.by_old_runs) == (1, 0)
    [group] = found.failed
    assert (group.count, group.sample.told.reason) == (1, "decode")


async def test_a_topic_that_does_not_exist_is_told(shop: Shop) -> None:
    async with shop.rig.subject.admin() as admin:
        with pytest.raises(TopicError, match=r"there is no topic 'nowhere'"):
            await ends_of_letters(admin, "nowhere")
        with pytest.raises(TopicError, match=r"there is no topic 'nowhere'"):
            await LedgerWriter(shop.broker, admin, "nowhere").start()


async def test_letters_that_another_system_wrote_are_sent_to_the_stage_that_is_named(
    shop: Shop,
) -> None:
    await shop.rig.create(shop.pipeline, partitions=1)
    # Of today: the sink gets it as the timestamp, and retention deletes what is older than a week.
    timestamp_ms = int(CLOCK.time() * 1000) - 3_600_000
    headers = [
        ("trace", b"7"),
        ("kafka_dlt-original-topic", shop.rig.source().name.encode()),
        ("kafka_dlt-original-partition", (0).to_bytes(4, "big")),
        ("kafka_dlt-original-offset", (41).to_bytes(8, "big")),
        ("kafka_dlt-original-timestamp", timestamp_ms.to_bytes(8, "big")),
        ("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
    ]
    await shop.rig.put([(b"k", b'{"n":4}')], topic=shop.topic, headers=headers)
    assert (await shop.send()).fates == {Fate.NO_STAGE: 1}
    async with shop.rig.subject.admin() as admin:
        writer = LedgerWriter(shop.broker, admin, shop.topic)
        await writer.start()
        sorting = Sorting(Selection(), Targets([build(shop.pipeline)], stage="check"))
        ends = await ends_of_letters(admin, shop.topic)
        await Sender(writer, admin, sorting, "r1", CLOCK).send(shop.broker, ends)
        await writer.stop()
    [record] = await shop.rig.read(f"{shop.rig.name}.check.replay")
    facts = error_headers(record)
    assert record.headers[0] == ("trace", b"7")
    assert (facts["topic"], facts["offset"], facts["timestamp"]) == (
        shop.rig.source().name,
        "41",
        str(timestamp_ms),
    )
    await shop.rig.run_to_end(shop.pipeline)
    assert await shop.rig.read_numbers(shop.rig.out) == [4]
    [output] = await shop.rig.read(shop.rig.out)
    assert list(output.headers) == [("trace", b"7")]
