from typing import Any

import pytest

from streamapp.errors import PipelineError, TopicError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import retry_later
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern


@agent
def same(value: int) -> int:
    return value


def pipeline(name: str, *, source: str | None = None, **stage: Any) -> Pipeline[Any, Any]:
    topic = Topic(source or f"{name}.in", int)
    return Pipeline(name, source=topic).stage(same, name="s", **stage).sink(f"{name}.out")


def test_all_stages_of_a_bundle_are_in_its_group() -> None:
    two_stages = Pipeline("two", source=Topic("two.in", int)).stage(same, name="a")
    bundle = Bundle("small", [pipeline("one"), two_stages.stage(same, name="b").sink("two.out")])
    segments = [segment for topology in build_bundle(bundle) for segment in topology.segments]
    assert [segment.full_name for segment in segments] == ["one.s", "two.a", "two.b"]
    assert {segment.group for segment in segments} == {"small"}


def test_a_topic_is_read_by_one_stage_of_a_bundle() -> None:
    bundle = Bundle("small", [pipeline("one"), pipeline("two", source="one.in")])
    with pytest.raises(PipelineError) as refused:
        build_bundle(bundle)
    assert str(refused.value) == (
        "bundle 'small': topic 'one.in' is read by stage 's' of pipeline 'one' and by stage 's' of"
        " pipeline 'two', but one group reads each record once; put one of the two pipelines into"
        " another bundle"
    )


def test_a_retry_topic_counts_as_read() -> None:
    waiting = pipeline("one", on_error=retry_later([60]))
    [retry_topic] = build(waiting).segments[0].retry_topics
    with pytest.raises(PipelineError, match=f"topic '{retry_topic}' is read by"):
        build_bundle(Bundle("small", [waiting, pipeline("two", source=retry_topic)]))


def test_two_pipelines_of_one_name_are_refused() -> None:
    with pytest.raises(PipelineError, match="bundle 'small' has two pipelines 'one'; rename one"):
        build_bundle(Bundle("small", [pipeline("one"), pipeline("one", source="other")]))


def test_a_bundle_has_not_the_name_of_a_stage_s_own_group() -> None:
    with pytest.raises(PipelineError, match=r"bundle 'one\.s' has the name of the consumer group"):
        build_bundle(Bundle("one.s", [pipeline("one")]))


def test_topics_by_a_pattern_are_refused() -> None:
    source = TopicPattern(r"many\..*", int)
    many = Pipeline("many", source=source).stage(same, name="s").sink("out")
    with pytest.raises(PipelineError, match=r"reads topics by the pattern 'many\\\\\..\*'"):
        build_bundle(Bundle("small", [many]))


@pytest.mark.parametrize(
    ("name", "pipelines", "error", "sentence"),
    [
        ("small", [], PipelineError, "bundle 'small' has no pipeline"),
        ("small", ["one"], PipelineError, "is made of pipelines, and 'one' is none"),
        ("very small", [pipeline("one")], TopicError, "very small"),
    ],
)
def test_a_wrong_bundle_is_refused_when_it_is_made(
    name: str, pipelines: list[Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Bundle(name, pipelines)
