"""Dead letters of a stage that Faust reads cannot be sent back, and that is told."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import faust
import pytest

from streamapp import Pipeline, Topic, agent
from streamapp.cli.replay_text import preview_lines
from streamapp.dead_letter_tools.fates import Fate, Sorting
from streamapp.dead_letter_tools.preview import Preview
from streamapp.dead_letter_tools.targets import Targets
from streamapp.errors import ConfigurationError
from streamapp.faust_adapter import faust_agent
from streamapp.letters.dialects import read_letter
from streamapp.letters.ledger import Ledger
from streamapp.letters.letter import Letter, Told
from streamapp.letters.selection import Selection
from streamapp.pipeline.topology import Topology, build
from streamapp.record import StoredRecord, TopicPartition


@agent(name="check")
def check(value: bytes) -> bytes:
    return value


@pytest.fixture
def by_faust() -> Topology:
    app = faust.App(f"app-{uuid4().hex[:8]}", broker="kafka://127.0.0.1:9092")

    @app.agent(app.topic("orders"))
    async def count(stream: Any) -> Any:
        async for value in stream:
            yield value

    return build(
        Pipeline("shop", source=Topic("orders", bytes)).stage(faust_agent(count, bytes)).sink("n")
    )


OURS = build(Pipeline("other", source=Topic("raw", bytes)).stage(check).sink("checked"))


@pytest.mark.parametrize("stage", [None, "count"])
def test_it_is_refused_where_no_other_stage_is_meant(by_faust: Topology, stage: str | None) -> None:
    topologies = [by_faust] if stage is None else [by_faust, OURS]
    told = r"cannot be sent back to stage 'count': the Faust application 'app-\w+' reads its topics"
    with pytest.raises(ConfigurationError, match=told):
        Targets(topologies, stage)


def test_its_letters_are_told_beside_those_that_can_be_sent(by_faust: Topology) -> None:
    sorting = Sorting(Selection(), Targets([by_faust, OURS]))
    letters = [letter_of(*names) for names in STAGES]
    fates = [sorting.fate_of(one, Ledger().entry_of(one))[0] for one in letters]
    assert fates == [Fate.READ_OTHERWISE, Fate.SEND, Fate.NO_STAGE]
    preview = Preview()
    preview.fates.update(fates)
    told = "1 are of stages whose topics Faust reads, and no replay topic"
    assert any(told in line for line in preview_lines(preview, tried=False, show_payload=False))


STAGES = (("shop", "count"), ("other", "check"), ("shop", "gone"))


def letter_of(pipeline: str, stage: str) -> Letter:
    record = StoredRecord(0, 1000, b"k", b"v", ())
    told = Told(pipeline=pipeline, stage=stage, reason="failed", fingerprint="a", last_failure_ms=1)
    return replace(read_letter(TopicPartition(f"{pipeline}.{stage}.dlq", 0), record), told=told)
