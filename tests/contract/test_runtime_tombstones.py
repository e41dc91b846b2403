"""Tombstones on a broker: read as None, written without a value, and dead letters as they were."""

import pytest

from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.policies.policy import dead_letter, skip
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, error_headers
from tests.kafka import unique_name

DATA = [(b"a", b'{"n":1,"text":""}'), (b"a", None), (b"b", b"null"), (None, None)]


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("run"))


@agent
def keep(item: Item | None) -> Out[Item | None]:
    return Out(item)


@agent
def fail(item: Item | None) -> Out[Item | None]:
    raise ValueError(f"no {item}")


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
async def test_deletes_reach_a_compacted_topic(rig: Rig, *, fused: bool) -> None:
    @agent
    def renamed(item: Item | None) -> list[Out[Item | None]]:
        return [Out(item), Out(None, key="old")]

    pipeline = rig.pipeline().stage(keep).stage(renamed, fused=fused).sink(rig.out)
    compacted = {rig.out: {"cleanup.policy": "compact"}}
    await rig.create(pipeline, partitions=1, config=compacted)
    await rig.put(DATA, headers=[("h", b"1")])
    service = await rig.run_to_end(pipeline)
    found = await rig.read(rig.out)
    old = (b"old", None)
    assert [(record.key, record.value) for record in found] == [DATA[0], old, DATA[1], old]
    assert all(list(record.headers) == [("h", b"1")] for record in found)
    letters = await rig.read(rig.dead_letters("keep"))
    assert [(letter.key, letter.value) for letter in letters] == DATA[2:]
    assert [error_headers(letter)["reason"] for letter in letters] == ["decode", "output"]
    assert service.metrics[0].producer_replacements == 0


async def test_what_agents_without_tombstones_get_are_dead_letters_with_or_without_a_key(
    rig: Rig,
) -> None:
    @agent
    def values(item: Item) -> Item:
        return item

    pipeline = rig.pipeline().stage(values).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put(DATA)
    await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [1]
    letters = await rig.read(rig.dead_letters("values"))
    assert [(letter.key, letter.value) for letter in letters] == DATA[1:]
    facts = [error_headers(letter) for letter in letters]
    assert {(one["class"], one["reason"]) for one in facts} == {("DecodeError", "decode")}
    assert facts[0]["fingerprint"] == facts[2]["fingerprint"] != facts[1]["fingerprint"]


async def test_skipped_and_failed_tombstones_keep_having_no_value(rig: Rig) -> None:
    pipeline = (
        rig.pipeline()
        .stage(fail, name="skipping", on_error=skip())
        .stage(fail, name="failing", on_error=dead_letter())
        .sink(rig.out)
    )
    await rig.create(pipeline, partitions=1)
    await rig.put(DATA[:2])
    await rig.run_to_end(pipeline)
    letters = await rig.read(rig.dead_letters("failing"))
    assert [(letter.key, letter.value) for letter in letters] == DATA[:2]
