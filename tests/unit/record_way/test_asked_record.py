"""What cannot be followed is refused in one sentence."""

import pytest

from streamapp.errors import ConfigurationError, StreamappError, TopicError
from streamapp.pipeline.topology import build
from streamapp.record import TopicPartition
from streamapp.record_way.found import parsed_address
from tests.unit.record_way.traced import broker_of, source, traced
from tests.unit.runtime.agents import same
from tests.unit.runtime.virtual import in_virtual_time

PIPELINE = build(source().stage(same, name="one").sink("out"))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("othr:0:0", r"there is no topic 'othr'; did you mean 'other'\?"),
        ("in:1:0", "topic 'in' has the partitions 0 to 0, and no 1"),
        ("in:0:1", "there is no record at in:0:1 any more: the topic has deleted all below 2"),
        ("in:0:9", "there is no record at in:0:9 yet: the partition ends at 6, the last offset"),
        ("in:0:3", "there is no record at in:0:3: it is the marker of a transaction"),
        ("out:0:0", "there is no record at out:0:0 yet: the partition ends at 0; it is empty"),
        ("other:0:0", "no stage of p reads or writes the topic 'other'; give the pipeline"),
    ],
)
@in_virtual_time
async def test_a_record_that_cannot_be_followed(address: str, sentence: str) -> None:
    broker = await broker_of(PIPELINE)
    await broker.create("other")
    await broker.write("in", *((b"k", b"%d" % n) for n in range(3)))
    broker.leave_gap("in", 2)
    await broker.write("in", (b"k", b"5"))
    await broker.admin().delete_records({TopicPartition("in", 0): 2})
    with pytest.raises((TopicError, ConfigurationError), match=sentence):
        await traced(broker, address, PIPELINE)


@pytest.mark.parametrize(
    "text", ["in", "in:0", "in:0:", ":0:0", "in:0:-1", "in:x:0", "in:0:0:0", "in:0:²", ""]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(StreamappError, match="TOPIC:PARTITION:OFFSET"):
        parsed_address(text)
