import pytest

from streamapp.brokers.protocols import TopicDescription, TopicSpec
from streamapp.cli.needed_topics import needed_topics
from streamapp.examples.playback.pipeline import fused_pipeline, pipeline
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import retry_later
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern

LIMIT = "max.message.bytes"
TOPOLOGY = build(pipeline)


def existing(name: str, limit: int, partitions: int = 7) -> dict[str, TopicDescription]:
    return {name: TopicDescription(name, partitions, 3, {LIMIT: str(limit)})}


def test_on_an_empty_broker_everything_is_needed() -> None:
    specs = {
        spec.name: spec
        for spec in needed_topics(TOPOLOGY, existing={}, partitions=6, replication_factor=2)
    }
    assert set(specs) == set(TOPOLOGY.topics())
    assert specs["playback.raw"] == TopicSpec("playback.raw", 6, 2, {})
    letters = TopicSpec("playback-quality.enrich.dlq", 1, 2, {LIMIT: str(1_048_588 + 65_536)})
    assert specs[letters.name] == letters


def test_what_is_declared_is_left_to_its_declaration() -> None:
    declared = [TopicSpec(name, 1) for name in TOPOLOGY.topics()]
    assert needed_topics(TOPOLOGY, declared=declared, existing={}) == []


def test_what_exists_stays_as_it_is() -> None:
    found = existing("playback.raw", 500)
    assert "playback.raw" not in [s.name for s in needed_topics(TOPOLOGY, existing=found)]


def test_a_dead_letter_topic_takes_what_its_source_takes_and_the_headers() -> None:
    name = "playback-quality.validate.dlq"
    wide = [TopicSpec("playback.raw", 4, config={LIMIT: "5000000"})]
    [spec] = [
        spec
        for spec in needed_topics(TOPOLOGY, declared=wide, existing=existing(name, 1_114_124))
        if spec.name == name
    ]
    assert spec == TopicSpec(name, 7, 3, {LIMIT: "5065536"})
    enough = needed_topics(TOPOLOGY, declared=wide, existing=existing(name, 6_000_000))
    assert name not in [spec.name for spec in enough]


def test_a_fused_stage_reads_what_its_head_reads() -> None:
    found = existing("playback-quality.enrich", 2_000_000)
    specs = {s.name: s for s in needed_topics(build(fused_pipeline), existing=found)}
    assert specs["playback-quality.route.dlq"].config[LIMIT] == "2065536"


@agent
def same(value: bytes) -> bytes:
    return value


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("sizes", [(3_000_000, 5_000_000), (5_000_000, 3_000_000)])
def test_a_dead_letter_topic_that_stages_share_takes_what_the_largest_source_takes(
    sizes: tuple[int, int], *, fused: bool
) -> None:
    shared = (
        Pipeline("p", source=Topic("raw", bytes))
        .stage(same, name="first", dead_letters="letters")
        .stage(same, name="tail", dead_letters="letters", fused=fused)
        .stage(same, name="last", dead_letters="letters")
        .sink("out")
    )
    between = "p.tail"  # what the last stage reads
    declared = [
        TopicSpec(name, 4, config={LIMIT: str(size)})
        for name, size in zip(("raw", between), sizes, strict=True)
    ]
    specs = {s.name: s for s in needed_topics(build(shared), declared=declared, existing={})}
    assert specs["letters"] == TopicSpec("letters", 1, None, {LIMIT: "5065536"})

    small = existing("letters", 5_065_535, partitions=2)
    specs = {s.name: s for s in needed_topics(build(shared), declared=declared, existing=small)}
    assert specs["letters"] == TopicSpec("letters", 2, 3, {LIMIT: "5065536"})

    enough = existing("letters", 5_065_536)
    specs = {s.name: s for s in needed_topics(build(shared), declared=declared, existing=enough)}
    assert "letters" not in specs


def test_a_retry_topic_has_partitions_room_for_headers_and_time_to_wait() -> None:
    day = 86_400
    retrying = (
        Pipeline("p", source=Topic("raw", bytes))
        .stage(same, on_error=retry_later([10, day]))
        .sink("out")
    )
    found = existing("raw", 2_000_000)
    specs = {spec.name: spec for spec in needed_topics(build(retrying), existing=found)}
    limit = {LIMIT: "2065536"}
    week, longer = {"retention.ms": f"{7 * day * 1000}"}, {"retention.ms": f"{8 * day * 1000}"}
    assert specs["p.same.retry-10s"] == TopicSpec("p.same.retry-10s", 4, None, limit | week)
    assert specs["p.same.retry-1d"] == TopicSpec("p.same.retry-1d", 4, None, limit | longer)


def test_the_limit_of_a_retry_topic_is_raised_to_that_of_its_source() -> None:
    retrying = (
        Pipeline("p", source=Topic("raw", bytes))
        .stage(same, on_error=retry_later([10]))
        .sink("out")
    )
    found = existing("raw", 2_000_000) | existing("p.same.retry-10s", 1_000_000)
    specs = {spec.name: spec for spec in needed_topics(build(retrying), existing=found)}
    assert specs["p.same.retry-10s"] == TopicSpec("p.same.retry-10s", 7, 3, {LIMIT: "2065536"})


def test_topics_that_match_a_pattern_are_not_made_but_their_dead_letters_are() -> None:
    sources = (TopicPattern(r"raw\..*", bytes), Topic("named", bytes))
    topology = build(Pipeline("p", source=sources).stage(same).sink("out"))
    specs = {spec.name: spec for spec in needed_topics(topology, existing={})}
    assert set(specs) == {"named", "out", "p.same.dlq"}
    assert specs["p.same.dlq"].config[LIMIT] == str(1_048_588 + 65_536)
    found = existing("raw.eu", 5_000_000) | existing("other", 9_000_000)
    specs = {spec.name: spec for spec in needed_topics(topology, existing=found)}
    assert specs["p.same.dlq"].config[LIMIT] == "5065536"
    alone = build(Pipeline("p", source=sources[0]).stage(same).sink("out"))
    assert {spec.name for spec in needed_topics(alone, existing={})} == {"out", "p.same.dlq"}
