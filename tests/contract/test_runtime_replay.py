"""Dead letters that are sent back to their stage: it reads its replay topic, if there is one."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from streamapp.brokers.protocols import ProducerConfig, TopicSpec
from streamapp.errors import PipelineError, RenamedStageError
from streamapp.letters.sent_back import SentBack
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter, retry_later
from streamapp.record import Record
from streamapp.topics.topic import Topic
from tests.contract.harness import Subject
from tests.contract.pipelines import QUICK, Item, Rig, error_headers, eventually
from tests.kafka import unique_name
from tests.patience import within

LOOKING = replace(QUICK, topic_check_interval_seconds=0.3)
MINUTE_SECONDS = 60.0


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("replay"))


class Moody:
    """A pipeline whose stage fails for the number 3 until it is mended."""

    def __init__(self) -> None:
        self.is_mended = False
        self.seen: list[tuple[int, str, int, int, int]] = []

    @property
    def agent(self) -> Any:
        @agent
        async def moody(item: Item, context: Context) -> Item:
            place = context.topic.rpartition(".")[2], context.partition, context.record.offset
            self.seen.append((item.n, *place, context.attempt))
            if item.n == 3 and not self.is_mended:
                raise ValueError("three")
            return item

        return moody


def pipeline_of(rig: Rig, moody: Moody, **settings: Any) -> Pipeline[Any, Any]:
    return rig.pipeline().stage(moody.agent, on_error=dead_letter(), **settings).sink(rig.out)


async def make_replay_topic(rig: Rig, stage: str = "moody", partitions: int = 1) -> str:
    name = f"{rig.name}.{stage}.replay"
    async with rig.subject.admin() as admin:
        await admin.create_topics([TopicSpec(name, partitions)])
    return name


async def send_back(rig: Rig, topic: str, letters: Iterable[Record], times: int = 1) -> None:
    """Write dead letters to a replay topic, as the tools do."""
    async with rig.subject.producer(ProducerConfig()) as producer:
        batch = producer.create_batch()
        for letter in letters:
            own = [one for one in letter.headers if not one[0].startswith("streamapp.error.")]
            facts = [one for one in letter.headers if one[0].startswith("streamapp.error.")]
            headers = [*own, *facts, *SentBack(times, "r1").headers()]
            assert batch.append(timestamp=None, key=letter.key, value=letter.value, headers=headers)
        await (await producer.send_batch(batch, topic, 0))


async def test_a_letter_that_was_sent_back_is_worked_on_as_the_record_that_it_was(rig: Rig) -> None:
    moody = Moody()
    pipeline = pipeline_of(rig, moody)
    await rig.create(pipeline, partitions=1)
    await rig.put_items([1, 2, 3])
    await rig.run_to_end(pipeline)
    letters = await rig.read(rig.dead_letters("moody"))
    topic = await make_replay_topic(rig)
    await send_back(rig, topic, letters)
    moody.is_mended = True
    service = await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [1, 2, 3]
    assert moody.seen[-1] == (3, "in", 0, 2, 1)  # where it was read first, and a first attempt
    *_, record = await rig.read(rig.out)
    assert not error_headers(record)
    assert service.metrics[0].received[topic].records == 1
    assert {name.topic for name in await rig.committed("moody")} == {rig.source().name, topic}
    await rig.run_to_end(pipeline)
    assert len(moody.seen) == 4


async def test_a_letter_that_fails_again_tells_its_origin_and_how_often_it_was_sent_back(
    rig: Rig,
) -> None:
    moody = Moody()
    pipeline = pipeline_of(rig, moody)
    await rig.create(pipeline, partitions=1)
    await rig.put([(b"k", b'{ "n": 3 }')], headers=[("h", b"\xff")], timestamp=1_700_000_000_000)
    await rig.run_to_end(pipeline)
    [first] = await rig.read(rig.dead_letters("moody"))
    await send_back(rig, await make_replay_topic(rig), [first], times=2)
    await rig.run_to_end(pipeline)
    _, second = await rig.read(rig.dead_letters("moody"))
    assert (second.key, second.value) == (b"k", b'{ "n": 3 }')
    assert second.headers[0] == ("h", b"\xff")
    before, after = error_headers(first), error_headers(second)
    for name in ("topic", "partition", "offset", "timestamp", "fingerprint", "attempts"):
        assert after[name] == before[name]
    assert (after["replays"], after["replay"]) == ("2", "r1")
    assert int(after["first_failure"]) > int(before["first_failure"])
    assert "replays" not in before


async def test_a_letter_that_was_sent_back_and_waits_for_a_retry_keeps_the_count(rig: Rig) -> None:
    moody = Moody()
    policy = retry_later([0.2])
    pipeline = rig.pipeline().stage(moody.agent, on_error=policy).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items([3])
    await rig.run_to_end(pipeline)
    await send_back(rig, await make_replay_topic(rig), await rig.read(rig.dead_letters("moody")))
    await rig.run_to_end(pipeline)
    _, second = await rig.read(rig.dead_letters("moody"))
    facts = error_headers(second)
    assert (facts["replays"], facts["replay"], facts["attempts"]) == ("1", "r1", "2")


async def test_a_letter_of_a_fused_stage_goes_back_to_that_stage(rig: Rig) -> None:
    moody, before = Moody(), []

    @agent
    def first(item: Item) -> Item:
        before.append(item.n)
        return Item(n=item.n, text=f"{item.text}+")

    pipeline = (
        rig.pipeline()
        .stage(first)
        .stage(moody.agent, on_error=dead_letter(), fused=True)
        .sink(rig.out)
    )
    await rig.create(pipeline, partitions=1)
    await rig.put_items([1, 3], text="t")
    await rig.run_to_end(pipeline)
    letters = await rig.read(rig.dead_letters("moody"))
    await send_back(rig, await make_replay_topic(rig), letters)
    moody.is_mended = True
    await rig.run_to_end(pipeline)
    values = [orjson.loads(record.value or b"") for record in await rig.read(rig.out)]
    assert [(value["n"], value["text"]) for value in values] == [(1, "t+"), (3, "t+")]
    assert before == [1, 3]


async def test_a_replay_topic_that_comes_while_two_workers_run_is_read_by_both(rig: Rig) -> None:
    moody = Moody()
    pipeline = pipeline_of(rig, moody)
    await rig.create(pipeline, partitions=2)
    await rig.put_items([1, 3])
    async with (
        rig.running(pipeline, config=LOOKING) as one,
        rig.running(pipeline, config=LOOKING) as two,
    ):
        metrics = [service.metrics[0] for service in (one, two)]
        await eventually(lambda: [len(own.partitions) for own in metrics] == [1, 1])
        await eventually(lambda: sum(own.dead_lettered for own in metrics) == 1)
        moody.is_mended = True
        topic = await make_replay_topic(rig, partitions=2)
        await send_back(rig, topic, await rig.read(rig.dead_letters("moody")))
        await eventually(
            lambda: [len(own.partitions) for own in metrics] == [2, 2], seconds=MINUTE_SECONDS
        )
        await eventually(lambda: sum(own.records_out[rig.out] for own in metrics) == 2)
        await eventually(lambda: not any(own.topic_faults for own in metrics))
        async with rig.subject.admin() as admin:
            await admin.delete_topics([topic])
        await eventually(
            lambda: [len(own.partitions) for own in metrics] == [1, 1], seconds=MINUTE_SECONDS
        )
        assert not any(own.topic_faults for own in metrics)
    assert sorted(await rig.read_numbers(rig.out)) == [1, 3]


async def test_without_a_replay_topic_nothing_is_subscribed_to_again(rig: Rig) -> None:
    pipeline = pipeline_of(rig, Moody())
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline, config=LOOKING) as service:
        metrics = service.metrics[0]
        await eventually(lambda: metrics.rebalances == 1)
        topics = service._running[0].topics
        looks = 0
        while looks < 3:
            await topics.look({rig.source().name: 1, rig.out: 1, rig.dead_letters("moody"): 1})
            looks += 1
        assert topics.replays == ()
        assert metrics.rebalances == 1
        assert not metrics.topic_faults


async def test_what_somebody_else_writes_to_a_replay_topic_is_a_record_like_others(
    rig: Rig,
) -> None:
    moody = Moody()
    moody.is_mended = True
    pipeline = pipeline_of(rig, moody)
    await rig.create(pipeline, partitions=1)
    topic = await make_replay_topic(rig)
    hostile = [
        [],
        [("streamapp.error.pipeline", b"p")],
        [("streamapp.error.pipeline", b"p"), ("streamapp.error.replays", b"9" * 30)],
    ]
    for headers in hostile:
        await rig.put([(b"k", b'{"n":7}')], topic=topic, headers=headers)
    await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [7, 7, 7]


def test_a_replay_topic_is_refused_as_any_other_topic_of_its_pipeline() -> None:
    stage = Pipeline("p", source=Topic("in", Item)).stage(Moody().agent)
    with pytest.raises(PipelineError, match=r"'p\.moody\.replay' is the name of a replay topic"):
        build(stage.sink("p.moody.replay"))


async def test_a_stage_that_moves_into_a_bundle_goes_on_in_its_replay_topic(rig: Rig) -> None:
    moody = Moody()
    pipeline = pipeline_of(rig, moody)
    await rig.create(pipeline, partitions=1)
    topic = await make_replay_topic(rig)
    await rig.put([(b"k", b'{"n":7}')], topic=topic)
    await rig.run_to_end(pipeline)
    await rig.put([(b"k", b'{"n":8}')], topic=topic)
    async with within(MINUTE_SECONDS, "the end of bounded work"):
        await rig.alone_in_its_bundle(pipeline).run(until_end=True)
    assert [number for number, *_ in moody.seen] == [7, 8]


async def test_a_stage_is_not_renamed_while_letters_that_were_sent_back_are_unread(
    rig: Rig,
) -> None:
    pipeline = pipeline_of(rig, Moody())
    await rig.create(pipeline, partitions=1)
    await rig.put_items([1])
    topic = await make_replay_topic(rig)
    await rig.run_to_end(pipeline)
    await rig.put([(b"k", b'{"n":8}')], topic=topic)
    renamed = pipeline_of(rig, Moody(), name="other", renamed_from="moody")
    async with rig.subject.admin() as admin:
        await admin.create_topics([TopicSpec(rig.dead_letters("other"), 1)])
    with pytest.raises(RenamedStageError, match=rf"1 records in '{topic}' are to be tried again"):
        await rig.run_to_end(renamed)
