"""Records whose outputs the broker refuses: each is found, and only that one fails."""

import time

import pytest

from streamapp.clock import Clock, SystemClock
from streamapp.pipeline.agent import agent
from streamapp.policies.policy import dead_letter
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, error_headers
from tests.kafka import unique_name

DAY_MS = 24 * 3_600_000


class FastClock(SystemClock):
    """A clock that is three days ahead of the broker's."""

    @staticmethod
    def time() -> float:
        return time.time() + 3 * DAY_MS / 1000


@agent
def same(item: Item) -> Item:
    return item


@pytest.mark.parametrize("clock", [SystemClock(), FastClock()], ids=["known", "found by trial"])
async def test_a_timestamp_that_an_output_topic_refuses_fails_one_record(
    subject: Subject, clock: Clock
) -> None:
    rig = Rig(subject, unique_name("run"))
    pipeline = rig.pipeline().stage(same, on_error=dead_letter()).sink(rig.out)
    any_time = {"message.timestamp.after.max.ms": str(100 * DAY_MS), "retention.ms": "-1"}
    await rig.create(pipeline, partitions=1, config={rig.source().name: any_time})
    await rig.put_items(range(100))
    bad = int(time.time() * 1000) + 2 * DAY_MS
    await rig.put([(b"k", b'{"n": 100}')], timestamp=bad)
    await rig.put_items(range(101, 200))
    await rig.run_to_end(pipeline, clock=clock)
    assert sorted(await rig.read_numbers(rig.out)) == [n for n in range(200) if n != 100]
    [letter] = await rig.read(rig.dead_letters("same"))
    facts = error_headers(letter)
    assert (letter.value, letter.timestamp != bad) == (b'{"n": 100}', True)
    assert (facts["class"], facts["reason"]) == ("RecordRefusedError", "output")
    assert facts["timestamp"] == str(bad)
