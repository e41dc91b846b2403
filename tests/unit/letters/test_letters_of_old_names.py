"""Dead letters of the old name of a stage can be sent back to it, fused or not."""

from dataclasses import replace

import pytest

from streamapp import Pipeline, Topic, agent
from streamapp.dead_letter_tools.targets import Targets
from streamapp.letters.dialects import read_letter
from streamapp.letters.letter import Letter, Told
from streamapp.pipeline.topology import Topology, build
from streamapp.record import StoredRecord, TopicPartition


@agent
def same(value: bytes) -> bytes:
    return value


def topology(name: str, renamed_from: str | None, *, fused: bool) -> Topology:
    made = Pipeline("shop", source=Topic("orders", bytes)).stage(same, name="first")
    return build(made.stage(same, name=name, fused=fused, renamed_from=renamed_from).sink("out"))


@pytest.mark.parametrize("fused", [True, False])
def test_a_renamed_stage_gets_the_letters_of_its_old_name(*, fused: bool) -> None:
    for declared, expected in (
        (topology("old", None, fused=fused), "shop.old"),
        (topology("new", "old", fused=fused), "shop.new"),
        (topology("new", None, fused=fused), None),
    ):
        target = Targets([declared]).of(letter_of("old"))
        assert (target and target.name) == expected


def letter_of(stage: str) -> Letter:
    record = StoredRecord(0, 1000, b"k", b"v", ())
    told = Told(pipeline="shop", stage=stage, reason="failed", fingerprint="a", last_failure_ms=1)
    return replace(read_letter(TopicPartition("shop.old.dlq", 0), record), told=told)
