"""A stage that has another name now: seen, taken over, or begun anew with a word."""

import asyncio
import re
from collections.abc import Collection
from typing import Any

import pytest

from streamapp.brokers.protocols import CommittedOffset, TopicSpec
from streamapp.errors import PipelineError, RenamedStageError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.renames.asked_once import AskedOnce
from streamapp.renames.renames import find_renames, store_start_offsets
from streamapp.topics.topic import Topic
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.kafka import unique_name


@agent
def keep(item: Item) -> Item:
    return item


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("renamed"))


def chain(rig: Rig, *stages: tuple[str, str | None] | str) -> Pipeline[Any, Any]:
    """Stages by name, or by name and old name."""
    made = rig.pipeline()
    for stage in stages:
        name, old = (stage, None) if isinstance(stage, str) else stage
        made = made.stage(keep, name=name, renamed_from=old)
    return made.sink(rig.out)


async def create_missing(rig: Rig, *pipelines: Pipeline[Any, Any]) -> None:
    async with rig.subject.admin() as admin:
        names = {name: None for pipeline in pipelines for name in build(pipeline).topics()}
        missing = names.keys() - await admin.list_topics()
        await admin.create_topics([TopicSpec(name, 2) for name in missing])


async def refused(rig: Rig, pipeline: Pipeline[Any, Any], **options: Any) -> str:
    """The sentence of a start that is refused."""
    with pytest.raises(RenamedStageError) as caught:
        await rig.run_to_end(pipeline, **options)
    return str(caught.value)


async def outputs(rig: Rig) -> list[int]:
    return sorted(await rig.read_numbers(rig.out))


async def test_a_stage_goes_on_where_its_old_name_stood(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    await rig.put_items(range(10))
    await rig.put_items(range(10, 13), partition=1)
    await rig.run_to_end(before)
    await rig.put_items(range(13, 20))
    await rig.run_to_end(after)
    assert await outputs(rig) == list(range(20))
    await rig.put_items(range(20, 22))
    await rig.run_to_end(after)  # the declaration may stay
    assert await outputs(rig) == list(range(22))


async def test_without_a_word_nothing_starts_and_what_is_remembered_is_told(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, "new")
    await create_missing(rig, before, after)
    await rig.put_items(range(5))
    await rig.run_to_end(before)
    told = await refused(rig, after)
    for text in (
        "stage 'new' has no offsets, but Kafka has those of a stage that is not declared, ",
        f"'old' (group {rig.name}.old, topic {rig.name}.old.dlq)",
        ".stage(..., renamed_from='old')",
        f"--yes starts at the beginning of '{rig.name}.in'",
    ):
        assert text in told
    assert await outputs(rig) == list(range(5))
    assert await rig.committed("new") == {}


async def test_an_old_name_that_nothing_has_is_told(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "olt"))
    await create_missing(rig, before, after)
    await rig.put_items(range(5))
    await rig.run_to_end(before)
    assert "(renamed_from='olt' is none of these)" in await refused(rig, after)


async def test_with_a_word_it_starts_anew_and_the_next_start_needs_none(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, "new", "quiet")
    await create_missing(rig, before, after)
    await rig.put_items(range(5))
    await rig.run_to_end(before)
    await rig.run_to_end(after, start_anew=True, stages=["quiet"])
    assert await rig.committed("quiet")  # it has read nothing, and yet is known
    await rig.run_to_end(after, stages=["quiet"])
    await rig.run_to_end(after, start_anew=True)
    assert await outputs(rig) == sorted([*range(5), *range(5)])
    await rig.run_to_end(after)
    assert await outputs(rig) == sorted([*range(5), *range(5)])


async def test_a_first_start_and_a_stage_that_is_added_need_no_word(rig: Rig) -> None:
    before, after = chain(rig, "one"), chain(rig, "one", "two")
    await create_missing(rig, before, after)
    await rig.put_items(range(3))
    await rig.run_to_end(before)
    await rig.put_items(range(3, 6))
    await rig.run_to_end(after)
    assert await outputs(rig) == list(range(6))


async def test_what_lies_between_two_stages_is_counted_before_it_is_left(rig: Rig) -> None:
    before = chain(rig, "first", "second")
    after = chain(rig, ("one", "first"), "second")
    await create_missing(rig, before, after)
    await rig.put_items(range(4))
    await rig.run_to_end(before)
    await rig.put_items(range(4, 11))
    await rig.run_to_end(before, stages=["first"])
    told = await refused(rig, after)
    assert f"7 records in '{rig.name}.first' would never be read" in told
    assert "has no offsets" not in told  # its old name is declared
    assert await outputs(rig) == list(range(4))

    await rig.put_items(range(11, 15))
    await rig.run_to_end(before)  # as the sentence says
    await rig.put_items(range(15, 18))
    await rig.run_to_end(after)
    assert await outputs(rig) == list(range(18))


async def test_a_topic_that_keeps_its_name_loses_nothing(rig: Rig) -> None:
    before = chain(rig, "first", "second")
    between = Topic(f"{rig.name}.first", Item)
    after = (
        rig.pipeline()
        .stage(keep, name="one", renamed_from="first", output=between)
        .stage(keep, name="second")
        .sink(rig.out)
    )
    await create_missing(rig, before, after)
    await rig.put_items(range(4))
    await rig.run_to_end(before, stages=["first"])
    await rig.run_to_end(after)
    assert await outputs(rig) == list(range(4))


async def test_pipelines_whose_names_begin_alike_are_not_taken_for_one(subject: Subject) -> None:
    name = unique_name("alike")
    short, long = Rig(subject, name), Rig(subject, f"{name}.b")
    pipelines = {
        short: chain(short, "b", "c"),
        long: chain(long, "d"),
    }
    for rig, pipeline in pipelines.items():
        await create_missing(rig, pipeline)
        await rig.put_items(range(3))
    for rig in (long, short, long):
        await rig.run_to_end(pipelines[rig])
    for rig in pipelines:
        renamed = chain(rig, "x")
        await create_missing(rig, renamed)
        told = await refused(rig, renamed)
        stages = set(re.findall(r"'([\w.]+)' \(group", told))
        assert stages == ({"b", "c"} if rig is short else {"d"})


async def test_an_old_name_that_is_still_at_work_is_not_taken_over(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    await rig.put_items(range(3))
    async with rig.running(before):

        async def has_committed() -> bool:
            return bool(await rig.committed("old"))

        await eventually(has_committed)
        told = await refused(rig, after, start_anew=True)
        assert f"group '{rig.name}.old', because the group has members" in told
    await rig.run_to_end(after)
    assert await outputs(rig) == list(range(3))


async def test_several_workers_take_over_once(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    await rig.put_items(range(5))
    await rig.run_to_end(before)
    await rig.put_items(range(5, 9))
    await asyncio.gather(*(rig.run_to_end(after) for _ in range(3)))
    assert await outputs(rig) == list(range(9))


async def test_a_rename_that_is_rolled_back_and_made_again_repeats_nothing(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    for number, pipeline in enumerate((before, after, before, after, before)):
        await rig.put_items(range(3 * number, 3 * number + 3))
        await rig.run_to_end(pipeline)
    assert await outputs(rig) == list(range(15))


async def test_a_rename_is_not_rolled_back_while_its_workers_run(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    await rig.put_items(range(3))
    await rig.run_to_end(before)
    async with rig.running(after) as service:
        await eventually(lambda: service.metrics[0].rebalances)
        assert "because the group has members" in await refused(rig, before)
        assert "because the group has members" in await refused(rig, before, start_anew=True)
    await rig.put_items(range(3, 5))
    await rig.run_to_end(before)
    assert await outputs(rig) == list(range(5))


async def test_a_rename_with_unread_records_between_two_stages_is_not_rolled_back(rig: Rig) -> None:
    before, after = chain(rig, "old", "second"), chain(rig, ("new", "old"), "second")
    await create_missing(rig, before, after)
    await rig.put_items(range(3))
    await rig.run_to_end(before)
    await rig.put_items(range(3, 6))
    await rig.run_to_end(after, stages=["new"])
    told = await refused(rig, before)
    assert f"3 records in '{rig.name}.new' would never be read" in told


async def test_what_is_kept_beside_the_offsets_is_taken_over_with_them(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    topology = build(after)
    stored = {rig.first_partition(): CommittedOffset(3, "finished: 5-7")}
    async with rig.subject.admin() as admin:
        await admin.set_offsets(f"{rig.name}.old", stored)
        await store_start_offsets(
            admin, await find_renames(AskedOnce(admin), topology, topology.segments)
        )
        assert await admin.committed_offsets(f"{rig.name}.new") == stored


async def test_a_worker_that_comes_second_leaves_the_first_ones_offsets_alone(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    await rig.put_items(range(5))
    await rig.run_to_end(before)
    topology = build(after)
    async with rig.subject.admin() as admin:
        second = await find_renames(AskedOnce(admin), topology, topology.segments)
        await rig.put_items(range(5, 9))
        async with rig.running(after):

            async def is_ahead() -> bool:
                return 9 in (await rig.committed("new")).values()

            await eventually(is_ahead)
            await store_start_offsets(admin, second)
            assert 9 in (await rig.committed("new")).values()
    assert await outputs(rig) == list(range(9))


async def test_a_worker_that_comes_late_takes_nothing_back_that_another_has_done(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"), "added")
    await create_missing(rig, before, after)
    await rig.put_items(range(5))
    await rig.run_to_end(before)
    topology = build(after)
    async with rig.subject.admin() as admin:
        late = await find_renames(AskedOnce(admin), topology, topology.segments)
        await rig.put_items(range(5, 9))
        await rig.run_to_end(after)  # it has taken over, worked and left
        await store_start_offsets(admin, late)
    await rig.run_to_end(after)
    assert await outputs(rig) == list(range(9))


async def test_a_worker_that_comes_late_begins_nothing_anew_that_another_has_begun(
    rig: Rig,
) -> None:
    before, after = chain(rig, "old"), chain(rig, "new")
    await create_missing(rig, before, after)
    await rig.put_items(range(3))
    await rig.run_to_end(before)
    topology = build(after)
    async with rig.subject.admin() as admin:
        late = await find_renames(AskedOnce(admin), topology, topology.segments)
        await rig.run_to_end(after, start_anew=True)
        await store_start_offsets(admin, late)
    await rig.run_to_end(after)
    assert await outputs(rig) == sorted([*range(3), *range(3)])


async def test_what_the_old_name_has_committed_last_is_taken_over(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    await rig.put_items(range(5))
    await rig.run_to_end(before)
    topology = build(after)
    async with rig.subject.admin() as admin:
        late = await find_renames(AskedOnce(admin), topology, topology.segments)
        await rig.put_items(range(5, 9))
        await rig.run_to_end(before)
        await store_start_offsets(admin, late)
    await rig.run_to_end(after)
    assert await outputs(rig) == list(range(9))


async def test_an_old_name_that_is_at_work_again_meanwhile_is_not_taken_over(rig: Rig) -> None:
    before, after = chain(rig, "old"), chain(rig, ("new", "old"))
    await create_missing(rig, before, after)
    await rig.put_items(range(5))
    await rig.run_to_end(before)
    topology = build(after)
    async with rig.subject.admin() as admin:
        late = await find_renames(AskedOnce(admin), topology, topology.segments)
        async with rig.running(before) as service:
            await eventually(lambda: service.metrics[0].rebalances)
            with pytest.raises(RenamedStageError, match="because the group has members"):
                await store_start_offsets(admin, late)


async def test_dead_letters_alone_tell_of_an_old_name_and_an_empty_topic_does_not(rig: Rig) -> None:
    after = chain(rig, "new")
    await create_missing(rig, after)
    topics = [f"{rig.name}.{name}" for name in ("old.dlq", "of-somebody-else", "empty.dlq")]
    async with rig.subject.admin() as admin:
        await admin.create_topics([TopicSpec(topic, 1) for topic in topics])
    for topic in topics[:2]:
        await rig.subject.write(topic, [b"1"])
    told = await refused(rig, after)
    assert f"'old' (topic {rig.name}.old.dlq)" in told
    assert "somebody" not in told
    assert "empty" not in told


async def test_a_stage_that_was_fused_is_not_taken_for_one_that_was_renamed(rig: Rig) -> None:
    before = chain(rig, "one", "two")
    after = (
        rig.pipeline()
        .stage(keep, name="new")
        .stage(keep, name="one", fused=True)
        .stage(keep, name="two", fused=True)
        .sink(rig.out)
    )
    await create_missing(rig, before, after)
    await rig.put_items(range(3))
    await rig.run_to_end(before)
    await rig.run_to_end(after)
    assert await outputs(rig) == sorted([*range(3), *range(3)])


@pytest.mark.parametrize(
    ("stages", "why"),
    [
        ((("new", "new"),), "is the name of a stage"),
        (("old", ("new", "old")), "is the name of a stage"),
        ((("a", "old"), ("b", "old")), "is given to another stage as well"),
    ],
)
def test_an_old_name_is_that_of_one_stage_that_is_not_declared(
    stages: Collection[Any], why: str
) -> None:
    pipeline: Pipeline[Any, Any] = Pipeline("p", source=Topic("raw", Item))
    for stage in stages:
        name, old = (stage, None) if isinstance(stage, str) else stage
        pipeline = pipeline.stage(keep, name=name, renamed_from=old)
    with pytest.raises(PipelineError, match=why):
        build(pipeline.sink("out"))


async def test_stages_are_not_fused_while_records_wait_between_them(rig: Rig) -> None:
    apart = chain(rig, "first", "second")
    fused = rig.pipeline().stage(keep, name="first").stage(keep, name="second", fused=True)
    fused = fused.sink(rig.out)
    await create_missing(rig, apart, fused)
    await rig.put_items(range(3))
    await rig.run_to_end(apart)
    await rig.put_items(range(3, 6))
    await rig.run_to_end(apart, stages=["first"])
    between = f"{rig.name}.first"
    assert f"3 records in {between!r} were written for a stage that is fused now" in (
        await refused(rig, fused)
    )
    await rig.run_to_end(apart)
    await rig.put_items(range(6, 9))
    await rig.run_to_end(fused)
    assert await outputs(rig) == list(range(9))
