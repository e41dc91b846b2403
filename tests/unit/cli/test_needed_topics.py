from streamapp.brokers.protocols import TopicDescription, TopicSpec
from streamapp.cli.needed_topics import needed_topics
from streamapp.examples.playback.pipeline import fused_pipeline, pipeline
from streamapp.pipeline.topology import build

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
