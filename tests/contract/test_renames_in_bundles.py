"""Stages of a bundle that get another name, alone or while their pipeline moves as well."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import RenamedStageError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import retry_later
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.contract.conftest import memory_subject
from tests.contract.harness import PATIENCE_SECONDS
from tests.contract.pipelines import QUICK, Item, Rig, eventually
from tests.kafka import unique_name
from tests.patience import within

ALONE = None
OLD, NEW = ("old", None), ("new", "old")


@agent
def keep(item: Item) -> Item:
    return item


class Renaming:
    """A pipeline whose stages have one name or another, and runs of it in bundles or alone."""

    def __init__(self) -> None:
        self.rig = Rig(memory_subject(), unique_name("renaming"))
        self.calls: Counter[int] = Counter()

    async def work(self, item: Item) -> Item:
        self.calls[item.n] += 1
        return item

    def pipeline(self, first: tuple[str, str | None], *others: str) -> Pipeline[Any, Any]:
        name, old = first
        made = self.rig.pipeline().stage(agent(self.work), name=name, renamed_from=old)
        for other in others:
            made = made.stage(keep, name=other)
        return made.sink(self.rig.out)

    def service(self, bundle: str | None, pipeline: Pipeline[Any, Any]) -> Service:
        if bundle is ALONE:
            return Service(self.rig.subject.broker, [build(pipeline)], config=QUICK)
        built = build_bundle(Bundle(f"{self.rig.name}-{bundle}", [pipeline]))
        return Service(self.rig.subject.broker, built, config=QUICK)

    async def create(self, *pipelines: Pipeline[Any, Any]) -> None:
        async with self.rig.subject.admin() as admin:
            names = {name: None for one in pipelines for name in build(one).topics()}
            missing = names.keys() - await admin.list_topics()
            await admin.create_topics([TopicSpec(name, 2) for name in missing])

    async def run(self, bundle: str | None, pipeline: Pipeline[Any, Any]) -> None:
        async with within(PATIENCE_SECONDS, "the end of bounded work"):
            await self.service(bundle, pipeline).run(until_end=True)

    @asynccontextmanager
    async def killed(
        self, bundle: str | None, pipeline: Pipeline[Any, Any]
    ) -> AsyncIterator[Service]:
        """A worker that is killed in the end."""
        service = self.service(bundle, pipeline)
        task = asyncio.create_task(service.run())
        try:
            await eventually(lambda: service.metrics[0].rebalances)
            yield service
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def has_committed(self, records: int, group: str) -> bool:
        async with self.rig.subject.admin() as admin:
            stored = await admin.committed_offsets(group)
        return sum(one.offset for one in stored.values()) == records


@pytest.mark.parametrize("after", [ALONE, "a", "b"])
async def test_a_stage_that_moves_under_a_new_name_begins_where_the_bundle_stood(
    after: str | None,
) -> None:
    renaming = Renaming()
    old, new = renaming.pipeline(OLD), renaming.pipeline(NEW)
    await renaming.create(old, new)
    await renaming.rig.put_items(range(5))
    await renaming.run("a", old)
    # The kill leaves marks that say where it began, not where it stands.
    async with renaming.killed("a", old):
        await renaming.rig.put_items(range(5, 10))
        group = f"{renaming.rig.name}-a"
        await eventually(lambda: renaming.has_committed(10, group))
    for i in (10, 12):  # the declaration may stay
        await renaming.rig.put_items(range(i, i + 2))
        await renaming.run(after, new)
        assert renaming.calls == dict.fromkeys(range(i + 2), 1)


async def test_it_is_not_moved_while_the_bundle_still_reads_for_its_old_name() -> None:
    renaming = Renaming()
    old, new = renaming.pipeline(OLD), renaming.pipeline(NEW)
    await renaming.create(old, new)
    await renaming.rig.put_items(range(5))
    await renaming.run("a", old)
    async with renaming.killed("a", old):
        with pytest.raises(RenamedStageError, match=r"offsets of group '.*-a', because"):
            await renaming.run(ALONE, new)


async def test_what_the_bundle_has_read_of_the_topic_of_an_old_name_does_not_count_as_unread() -> (
    None
):
    renaming = Renaming()
    old, new = renaming.pipeline(OLD, "next"), renaming.pipeline(NEW, "next")
    await renaming.create(old, new)
    await renaming.rig.put_items(range(5))
    await renaming.run("a", old)
    await renaming.rig.put_items(range(5, 8))
    await renaming.run("a", new)
    assert sorted(await renaming.rig.read_numbers(renaming.rig.out)) == list(range(8))


async def test_what_the_bundle_has_read_of_a_retry_topic_does_not_count_as_waiting() -> None:
    renaming = Renaming()
    failed: set[int] = set()

    @agent
    async def fails_once(item: Item) -> Item:
        if item.n not in failed:
            failed.add(item.n)
            raise ValueError("not yet")
        return item

    def pipeline(*delays: int) -> Pipeline[Any, Any]:
        made = renaming.rig.pipeline()
        return made.stage(fails_once, name="work", on_error=retry_later(delays)).sink(
            renaming.rig.out
        )

    before, after = pipeline(1, 2), pipeline(2)
    await renaming.create(before, after)
    await renaming.rig.put_items(range(3))
    await renaming.run("a", before)
    assert sorted(await renaming.rig.read_numbers(renaming.rig.out)) == [0, 1, 2]
    await renaming.run("a", after)


async def test_a_stage_is_not_renamed_into_a_bundle_at_work_which_would_read_all_again() -> None:
    renaming = Renaming()
    old, new = renaming.pipeline(OLD), renaming.pipeline(NEW)
    other: Pipeline[Any, Any] = Pipeline("other", source=Topic("other.in", Item)).stage(keep)
    other = other.sink("other.out")
    await renaming.create(old, new, other)
    await renaming.rig.put_items(range(5))
    await renaming.run(ALONE, old)
    async with renaming.killed("a", other):
        group = f"{renaming.rig.name}-a"
        await renaming.rig.put([(b"k", b'{"n":1}')], topic="other.in")
        await eventually(lambda: renaming.has_committed(1, group))
        with pytest.raises(RenamedStageError, match=f"group '{group}' has workers"):
            await renaming.run("a", new)
    await renaming.run("a", new)
    assert renaming.calls == dict.fromkeys(range(5), 1)
