"""A pipeline with several source topics: refusals, what each is read as, and which one is meant."""

from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.errors import EncodeError, PipelineError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.runtime.decoders import Decoders
from streamapp.status import PipelineStatus
from streamapp.testing import Input, PipelineDriver
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern


class Live(BaseModel):
    n: int


class Vod(BaseModel):
    n: int


class Other(BaseModel):
    n: int


@agent
def name_of(value: Live | Vod) -> str:
    return f"{type(value).__name__} {value.n}"


@agent
def topic_of(value: Live | Vod, context: Context) -> str:
    del value
    return context.topic


@agent
def text(value: str) -> str:
    return value


LIVE, VOD = Topic("live", Live), Topic("vod", Vod)
EVERY = TopicPattern(r"in\..*", Live)
BOTH = Pipeline("p", source=(LIVE, VOD)).stage(name_of).sink("out")


def test_a_stage_reads_every_source_in_one_group() -> None:
    [segment] = build(BOTH).segments
    assert (segment.group, segment.source_topics) == ("p.name-of", ("live", "vod"))
    assert build(BOTH).topics() == ("live", "vod", "out", "p.name-of.dlq")
    assert repr(BOTH) == "<Pipeline p: live, vod -> name-of>"


def test_each_source_is_read_as_what_it_is_declared_with() -> None:
    [segment] = build(BOTH).segments
    values = {source.topic: source.codec.decode(b'{"n":1}') for source in segment.sources}
    assert values == {"live": Live(n=1), "vod": Vod(n=1)}


def test_a_source_without_a_schema_is_read_as_what_the_stage_takes() -> None:
    anything: Any = Topic("any")
    [segment] = build(Pipeline("p", source=(LIVE, anything)).stage(name_of).sink("out")).segments
    assert segment.sources[1].codec.decode(b'{"n":1}') == Live(n=1)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ((), "source is empty"),
        ((LIVE, "vod"), r"source is 'vod'; give Topic\('vod', Model\)"),
        ((LIVE, VOD, Topic("live", Vod)), "the topic 'live' stands in source twice"),
        ({"live": LIVE}, "source is of type dict"),
        ((EVERY, TopicPattern(r"in\..*", Vod)), r"the pattern '.*' stands in source twice"),
        ((EVERY, Topic("in.a", Vod)), r"the pattern '.*' in source matches the topic 'in\.a'"),
    ],
)
def test_a_wrong_source_is_refused_when_it_is_declared(source: Any, reason: str) -> None:
    with pytest.raises(PipelineError, match=f"^pipeline 'p': {reason}"):
        Pipeline("p", source=source)


def test_a_source_that_the_stage_does_not_take_is_named() -> None:
    wrong: Any = (LIVE, Topic("others", Other))
    with pytest.raises(PipelineError, match=r"takes .*Vod, but topic 'others' gives Other"):
        build(Pipeline("p", source=wrong).stage(name_of).sink("out"))
    tombstones: Any = (LIVE, Topic("vod", Vod | None))
    with pytest.raises(PipelineError, match=r"topic 'vod' gives .* tombstones too"):
        build(Pipeline("p", source=tombstones).stage(name_of).sink("out"))


def test_a_pipeline_cannot_write_to_any_of_its_sources() -> None:
    with pytest.raises(PipelineError, match="writes to the topic 'vod' that the pipeline reads"):
        build(Pipeline("p", source=(LIVE, VOD)).stage(name_of).sink("vod"))


async def test_data_are_for_the_source_that_takes_their_type() -> None:
    pipeline = Pipeline("p", source=(LIVE, VOD)).stage(topic_of)
    assert (await pipeline.execute(Vod(n=1))).output == "vod"
    assert (await pipeline.execute(b'{"n":1}', source="vod")).output == "vod"
    assert [one.output async for one in pipeline.execute_many([Vod(n=1), Live(n=2)])] == [
        "vod",
        "live",
    ]
    refused = await pipeline.execute(Other(n=1))  # type: ignore[arg-type]  # the wrong use
    assert (refused.status, str(refused.error and refused.error.original_error)) == (
        PipelineStatus.FAILED,
        "pipeline 'p' takes Live or Vod, not a Other",
    )


async def test_data_that_several_sources_take_name_one() -> None:
    pipeline = Pipeline("p", source=[LIVE, Topic("more", Live)]).stage(topic_of)
    for data in (Live(n=1), b'{"n":1}', None):
        with pytest.raises(PipelineError, match=r"sources 'live', 'more'; name one with source=$"):
            await pipeline.execute(data)
    assert (await pipeline.execute(Live(n=1), source="more")).output == "more"
    with pytest.raises(PipelineError, match=r"has no source 'x'; it reads 'live', 'more'$"):
        await pipeline.execute(Live(n=1), source="x")


async def test_data_for_a_named_source_are_of_its_type() -> None:
    result = await BOTH.execute(Live(n=1), source="vod")
    assert "takes Vod, not a Live" in str(result.error)


def test_a_value_of_a_subclass_is_for_the_source_of_its_own_class() -> None:
    class Richer(Live):
        extra: str = ""

    pipeline = Pipeline("p", source=(LIVE, Topic("rich", Richer))).stage(name_of).sink("out")
    results = PipelineDriver(pipeline).run([Richer(n=1), Live(n=2)])
    assert set(results.outputs) == {"Richer 1", "Live 2"}


def test_a_driver_feeds_topics_by_type_and_by_name() -> None:
    results = PipelineDriver(BOTH).run([Vod(n=1), Live(n=2), Input(b'{"n":3}', topic="vod")])
    assert sorted(results.outputs) == ["Live 2", "Vod 1", "Vod 3"]
    with pytest.raises(PipelineError, match=r"sources 'live', 'vod'; name one with topic="):
        PipelineDriver(BOTH).run([b"{"])
    with pytest.raises(EncodeError, match="pipeline 'p' takes Live or Vod, not a Other"):
        PipelineDriver(BOTH).run([Other(n=1)])  # type: ignore[list-item]  # the wrong use


async def test_a_running_driver_takes_the_name_of_a_topic() -> None:
    async with PipelineDriver(BOTH).start() as running:
        await running.send(b"{", topic="vod")
        await running.send(Live(n=1))
        results = await running.results()
    assert results.outputs == ["Live 1"]
    assert [letter.value for letter in results.dead_letters()] == [b"{"]


def test_a_segment_reads_what_matches_and_none_of_its_own() -> None:
    pattern = TopicPattern(r"(p|in)\..*", Live)
    topology = build(Pipeline("p", source=(pattern, VOD)).stage(name_of).stage(text).sink("in.out"))
    first, second = topology.segments
    assert (first.source_topics, first.source_names) == (("vod",), ("vod", pattern.name))
    existing = ["in.b", "in.a", "in.out", "p.name-of", "p.x", "p.name-of.dlq", "other", "in.a.dlq"]
    assert first.topics_among(existing) == ("vod", "in.a", "in.b", "p.x")
    assert [name for name in existing if first.has_source(name)] == ["in.b", "in.a", "p.x"]
    assert (second.patterns, second.topics_among(existing)) == ((), ("p.name-of",))


def test_the_first_pattern_that_matches_says_what_a_topic_is_read_as() -> None:
    patterns = (TopicPattern(r"in\.v.*", Vod), TopicPattern(r"in\..*", Live))
    [segment] = build(Pipeline("p", source=patterns).stage(name_of).sink("out")).segments
    decoders = Decoders(segment)
    assert decoders["in.vod"](b'{"n":1}') == Vod(n=1)
    assert decoders["in.live"](b'{"n":1}') == Live(n=1)
    assert segment.topics_among(["in.vod", "in.live"]) == ("in.live", "in.vod")


def test_a_pattern_whose_type_the_stage_does_not_take_is_named() -> None:
    wrong: Any = TopicPattern("others.*", Other)
    with pytest.raises(PipelineError, match=r"but pattern 'others\.\*' gives Other"):
        build(Pipeline("p", source=(LIVE, wrong)).stage(name_of).sink("out"))


async def test_data_for_a_pattern_may_name_a_topic() -> None:
    pipeline = Pipeline("p", source=(EVERY, VOD)).stage(topic_of)
    assert (await pipeline.execute(Live(n=1), source="in.eu")).output == "in.eu"
    assert (await pipeline.execute(Live(n=1))).output == EVERY.name
    assert (await pipeline.execute(b'{"n":1}', source="vod")).output == "vod"
    hint = "; for a pattern give the name of a topic that matches it$"
    with pytest.raises(PipelineError, match=f"has no source 'out'; it reads .*{hint}"):
        await pipeline.execute(b'{"n":1}', source="out")
    with pytest.raises(PipelineError, match=f"name one with source={hint}"):
        await pipeline.execute(b'{"n":1}')


def test_a_driver_makes_the_topics_that_it_is_told_to_feed() -> None:
    pipeline = Pipeline("p", source=(EVERY, VOD)).stage(topic_of).sink("out")
    inputs: list[Any] = [
        Vod(n=1),
        Input(Live(n=1), topic="in.eu"),
        Input(b'{"n":2}', topic="in.us"),
    ]
    assert sorted(PipelineDriver(pipeline).run(inputs).outputs) == ["in.eu", "in.us", "vod"]
    with pytest.raises(PipelineError, match=r"an input is for the pattern .* name a topic"):
        PipelineDriver(pipeline).run([Live(n=1)])
