"""Old events between two stages: stored under the present, and given on with their own time."""

import time
from datetime import UTC, datetime

import pytest

from streamapp.errors import Permanent
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.record import EVENT_TIME_HEADER, event_timestamp
from streamapp.topics.topic import Topic
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, error_headers
from tests.kafka import unique_name

DAY_MS = 86_400_000


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("times"))


@pytest.mark.parametrize("config", [{}, {"message.timestamp.type": "LogAppendTime"}])
async def test_old_events_are_kept_until_they_are_read_and_keep_their_time(
    rig: Rig, config: dict[str, str]
) -> None:
    told: list[datetime | None] = []
    began_ms = int(time.time() * 1000)
    old_ms = began_ms - 30 * DAY_MS

    @agent
    def first(item: Item) -> Item:
        return item

    @agent
    def second(item: Item, context: Context) -> Item:
        told.append(context.timestamp)
        if item.n:
            raise Permanent
        return item

    between = f"{rig.name}.mid"
    pipeline = (
        rig.pipeline()
        .stage(first, output=Topic(between, Item))
        .stage(second, name="second")
        .sink(rig.out)
    )
    await rig.create(pipeline, partitions=1, config={between: config})
    await rig.put([(b"k", b'{"n": 0}'), (b"k", b'{"n": 1}')], timestamp=old_ms)
    await rig.run_to_end(pipeline)

    for record in await rig.read(between):
        assert record.timestamp >= began_ms - 60_000, "retention counts from now"
        assert event_timestamp(record) == old_ms
    assert (
        told
        == [
            datetime.fromtimestamp(old_ms // 1000, tz=UTC).replace(microsecond=old_ms % 1000 * 1000)
        ]
        * 2
    )
    [output] = await rig.read(rig.out)
    assert output.timestamp == old_ms
    assert EVENT_TIME_HEADER not in dict(output.headers)
    [letter] = await rig.read(rig.dead_letters("second"))
    assert letter.timestamp >= began_ms - 60_000
    assert event_timestamp(letter) == old_ms
    assert error_headers(letter)["timestamp"] == str(old_ms)
