"""Failures on a broker: each leaves by its policy, and nothing is lost."""

import asyncio
from typing import Any

import pytest

from streamapp.errors import Permanent, StageStoppedError
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, drop, retry, skip, stop
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, error_headers, eventually, numbers
from tests.kafka import unique_name

AT_ONCE = Backoff(base_seconds=0.001)


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("run"))


@agent
def picky(item: Item) -> Item:
    if item.n % 5 == 3:
        raise ValueError("three")
    return item


async def test_bytes_that_do_not_decode_become_a_dead_letter_byte_for_byte(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(picky, on_error=retry(5, then=skip())).sink(rig.out)
    await rig.create(pipeline)
    bad = [(b"k", b"\xff{"), (None, b'{"x": 1}'), (b"tombstone", None), (b"k", b"")]
    await rig.put([(b"a", b'{"n": 1}'), *bad, (b"a", b'{"n": 2}')], headers=[("h", b"1")])
    service = await rig.run_to_end(pipeline)
    letters = sorted(await rig.read(rig.dead_letters("picky")), key=offset_of)
    assert [(letter.key, letter.value) for letter in letters] == bad
    for i, letter in enumerate(letters):
        assert letter.headers[0] == ("h", b"1")
        facts = error_headers(letter)
        assert facts.pop("message")
        expected = {
            "pipeline": rig.name,
            "stage": "picky",
            "topic": f"{rig.name}.in",
            "partition": "0",
            "offset": str(i + 1),
            "class": "DecodeError",
            "reason": "decode",
            "attempts": "1",
        }
        assert expected.items() <= facts.items()
        assert {"fingerprint", "first_failure", "last_failure", "execution_id"} <= facts.keys()
    assert await rig.read_numbers(rig.out) == [1, 2]
    assert service.metrics[0].retries == 0


async def test_a_retried_record_comes_through_in_the_order_of_its_key(rig: Rig) -> None:
    failures = {2: 3}

    @agent
    def flaky(item: Item) -> Item:
        if failures.get(item.n):
            failures[item.n] -= 1
            raise OSError("busy")
        return item

    pipeline = rig.pipeline().stage(flaky, on_error=retry(3, backoff=AT_ONCE)).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(20), keys=4)
    service = await rig.run_to_end(pipeline)
    came = await rig.read_numbers(rig.out)
    assert sorted(came) == list(range(20))
    for key in range(4):
        assert [n for n in came if n % 4 == key] == list(range(key, 20, 4))
    assert came.index(2) > came.index(3)  # other keys did not wait for it
    assert service.metrics[0].retries == 3


async def test_exhausted_retries_end_in_the_dead_letter_topic(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(picky, on_error=retry(3, backoff=AT_ONCE)).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(5))
    await rig.run_to_end(pipeline)
    [letter] = await rig.read(rig.dead_letters("picky"))
    facts = error_headers(letter)
    assert (facts["attempts"], facts["reason"], facts["class"], facts["message"]) == (
        "4",
        "exhausted",
        "ValueError",
        "three",
    )
    assert sorted(await rig.read_numbers(rig.out)) == [0, 1, 2, 4]


async def test_skip_lets_the_record_flow_on_unchanged(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(picky, on_error=skip()).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    odd_spacing = b'{ "n" : 3 }'
    await rig.put([(b"k", odd_spacing)])
    service = await rig.run_to_end(pipeline)
    [record] = await rig.read(rig.out)
    assert (record.key, record.value) == (b"k", odd_spacing)
    assert service.metrics[0].skipped == 1


async def test_drop_leaves_only_a_count(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(picky, on_error=drop()).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(5))
    service = await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == [0, 1, 2, 4]
    assert await rig.read(rig.dead_letters("picky")) == []
    assert service.metrics[0].dropped == 1


async def test_stop_names_the_record_and_a_restart_resumes_at_it(rig: Rig) -> None:
    broken = True
    seen: list[int] = []

    @agent
    def strict(item: Item) -> Item:
        seen.append(item.n)
        if item.n == 7 and broken:
            raise RuntimeError("no seven")
        return item

    pipeline = rig.pipeline().stage(strict, on_error=stop()).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(20), keys=1)
    with pytest.raises(StageStoppedError, match="at offset 7: no seven") as stopped:
        await rig.run_to_end(pipeline)
    assert (stopped.value.offset, stopped.value.stage_id) == (7, "strict")
    assert isinstance(stopped.value.original_error, RuntimeError)
    assert stopped.value.__cause__ is stopped.value.original_error
    assert await rig.committed("strict") == {stopped.value.partition: 7}
    seen.clear()
    broken = False
    await rig.run_to_end(pipeline)
    assert seen == list(range(7, 20))
    assert await rig.read_numbers(rig.out) == list(range(20))


async def test_stop_finishes_what_stands_before_its_record(rig: Rig) -> None:
    broken = True
    seen: list[int] = []

    @agent
    async def strict(item: Item) -> Item:
        seen.append(item.n)
        if item.n == 0:
            await asyncio.sleep(0.05)  # the next of its key, number 2, waits behind it
        if item.n == 3 and broken:
            raise RuntimeError("no three")
        return item

    pipeline = rig.pipeline().stage(strict, on_error=stop()).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(9), keys=2)
    with pytest.raises(StageStoppedError, match="at offset 3: no three") as stopped:
        await rig.run_to_end(pipeline)
    assert await rig.committed("strict") == {stopped.value.partition: 3}
    assert {0, 1, 2} <= set(seen)
    broken = False
    seen.clear()
    await rig.run_to_end(pipeline)
    assert min(seen) == 3
    assert set(await rig.read_numbers(rig.out)) == set(range(9))


async def test_an_attempt_that_takes_too_long_is_cancelled(rig: Rig) -> None:
    cancelled: list[int] = []

    @agent
    async def slow(item: Item) -> Item:
        if item.n == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(item.n)
                raise
        return item

    pipeline = rig.pipeline().stage(slow, on_error=dead_letter(), timeout_seconds=0.05)
    pipeline = pipeline.sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(3))
    service = await rig.run_to_end(pipeline)
    [letter] = await rig.read(rig.dead_letters("slow"))
    assert error_headers(letter)["reason"] == "timeout"
    assert cancelled == [1]
    assert sorted(await rig.read_numbers(rig.out)) == [0, 2]
    assert service.metrics[0].timeouts == 1


async def test_an_output_of_the_wrong_type_is_the_records_fault(rig: Rig) -> None:
    @agent
    def lying(item: Item) -> Item:
        wrong: Any = {"n": item.n}
        return item if item.n else wrong

    pipeline = rig.pipeline().stage(lying, on_error=retry(3)).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(2))
    await rig.run_to_end(pipeline)
    [letter] = await rig.read(rig.dead_letters("lying"))
    assert error_headers(letter)["reason"] == "output"
    assert await rig.read_numbers(rig.out) == [1]


async def test_too_many_outputs_are_the_records_fault_and_none_gets_out(rig: Rig) -> None:
    @agent
    def many(item: Item) -> list[Item]:
        return [item] * item.n

    pipeline = rig.pipeline().stage(many, max_outputs_per_record=3).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items([3, 4])
    await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [3, 3, 3]
    [letter] = await rig.read(rig.dead_letters("many"))
    assert error_headers(letter)["class"] == "TooManyOutputsError"


async def test_a_two_megabyte_output_does_not_hold_the_records_after_it(rig: Rig) -> None:
    @agent
    def inflate(item: Item) -> Item:
        return Item(n=item.n, text="x" * (2_000_000 if item.n == 1 else 1))

    pipeline = rig.pipeline().stage(inflate, on_error=retry(3)).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(4), keys=1)
    service = await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [0, 2, 3]
    [letter] = await rig.read(rig.dead_letters("inflate"))
    assert (error_headers(letter)["class"], numbers([letter])) == ("RecordTooLargeError", [1])
    assert service.metrics[0].producer_replacements == 0


async def test_a_failed_batch_is_delivered_again_and_not_dead_lettered(rig: Rig) -> None:
    """The topic takes less than when the stage started: the world changed, not the record."""

    @agent
    def padded(item: Item) -> Item:
        return Item(n=item.n, text="x" * 2000 if item.n == 5 else "")

    pipeline = rig.pipeline().stage(padded, on_error=retry(3)).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline) as service:
        await rig.put_items(range(3))
        await eventually(lambda: service.metrics[0].records_out[rig.out] == 3)
        async with rig.subject.admin() as admin:
            await admin.alter_topic_config(rig.out, {"max.message.bytes": "1000"})
        await rig.put_items(range(3, 9))
        await eventually(lambda: service.metrics[0].records_out[rig.out] >= 8)
        await eventually(lambda: service.metrics[0].dead_letters[DeadLetterReason.OUTPUT] == 1)
        assert service.metrics[0].producer_replacements >= 1
    came = await rig.read_numbers(rig.out)
    assert set(came) == {0, 1, 2, 3, 4, 6, 7, 8}
    assert numbers(await rig.read(rig.dead_letters("padded"))) == [5]


async def test_fusing_changes_nothing_but_the_topic_between(rig: Rig) -> None:
    @agent
    def twice(item: Item) -> list[Item]:
        if item.n == 4:
            raise Permanent("four")
        return [item, Item(n=item.n + 100)]

    @agent
    def halve(item: Item) -> Item:
        if item.n == 102:
            raise Permanent("a hundred and two")
        return Item(n=item.n * 2)

    def declared(name: str, *, fused: bool) -> Pipeline[Any, Any]:
        run = Rig(rig.subject, name)
        start = run.pipeline().stage(twice, on_error=dead_letter())
        return start.stage(halve, on_error=dead_letter(), fused=fused).sink(run.out)

    results = []
    for fused in (False, True):
        run = Rig(rig.subject, unique_name("fused"))
        pipeline = declared(run.name, fused=fused)
        await run.create(pipeline, partitions=1)
        await run.put_items(range(8), keys=1)
        await run.run_to_end(pipeline)
        letters = [
            (letter.key, letter.value, error_headers(letter)["stage"])
            for stage in ("twice", "halve")
            for letter in await run.read(run.dead_letters(stage))
        ]
        results.append((await run.read_numbers(run.out), letters))
    assert results[0] == results[1]
    assert len(results[0][0]) == 13
    assert [stage for *_, stage in results[0][1]] == ["twice", "halve"]


def offset_of(letter: Any) -> int:
    return int(error_headers(letter)["offset"])


async def test_an_output_without_a_key_does_not_break_the_batch_for_a_compacted_topic(
    rig: Rig,
) -> None:
    @agent
    def half_keyed(item: Item) -> Out[Item]:
        return Out(item, key=None if item.n == 1 else "k")

    pipeline = rig.pipeline().stage(half_keyed).sink(rig.out)
    await rig.create(pipeline, partitions=1, config={rig.out: {"cleanup.policy": "compact"}})
    await rig.put_items(range(3), keys=1)
    service = await rig.run_to_end(pipeline)
    [letter] = await rig.read(rig.dead_letters("half-keyed"))
    assert (numbers([letter]), error_headers(letter)["reason"]) == ([1], "output")
    assert service.metrics[0].producer_replacements == 0
    assert service.metrics[0].records_out[rig.out] == 2


@pytest.mark.parametrize(
    "changed",
    [{"key": 5}, {"headers": {"a": b"1"}}, {"headers": [("a", "text")]}, {"headers": 7}],
    ids=str,
)
async def test_a_key_or_header_of_the_wrong_type_is_the_records_fault(
    rig: Rig, changed: dict[str, Any]
) -> None:
    @agent
    def careless(item: Item) -> Out[Item]:
        return Out(item, **changed) if item.n == 1 else Out(item)

    pipeline = rig.pipeline().stage(careless, on_error=retry(3)).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(3))
    await rig.run_to_end(pipeline)
    [letter] = await rig.read(rig.dead_letters("careless"))
    assert error_headers(letter)["class"] == "EncodeError"
    assert sorted(await rig.read_numbers(rig.out)) == [0, 2]
