"""A pipeline is checked and laid out when it is built."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from streamapp.errors import PipelineError, TopicError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import Stage, StageConfig
from streamapp.pipeline.topology import build
from streamapp.policies.policy import (
    ErrorPolicy,
    Policy,
    dead_letter,
    drop,
    retry,
    retry_later,
    skip,
)
from streamapp.topics.topic import Topic


class Raw(BaseModel):
    n: int


class Clean(BaseModel):
    n: int


class Richer(Clean):
    extra: str = ""


@agent
def clean(value: Raw) -> Clean:
    return Clean(n=value.n)


@agent
def enrich(value: Clean) -> Richer:
    return Richer(n=value.n)


@agent
def same(value: Clean) -> Clean:
    return value


@agent
def write(value: Clean) -> None:
    del value


@agent
def delete(value: Clean | None) -> Out[Clean | None]:
    return Out(value)


@agent
def count(value: Clean | None) -> Raw:
    return Raw(n=value.n if value else 0)


@agent
def take_all(value: Any) -> Any:
    return value


SOURCE = Topic("raw", Raw)


def test_stages_have_a_topic_between_them_and_a_group_each() -> None:
    topology = build(Pipeline("p", source=SOURCE).stage(clean).stage(enrich).sink("rich"))
    assert [(s.group, *s.source_topics) for s in topology.segments] == [
        ("p.clean", "raw"),
        ("p.enrich", "p.clean"),
    ]
    assert topology.topics() == ("raw", "p.clean", "p.clean.dlq", "rich", "p.enrich.dlq")


def test_fused_stages_share_a_segment_and_have_no_topic_between() -> None:
    topology = build(
        Pipeline("p", source=SOURCE).stage(clean).stage(same, fused=True).stage(enrich).sink("rich")
    )
    assert [[step.stage.stage_id for step in s.steps] for s in topology.segments] == [
        ["clean", "same"],
        ["enrich"],
    ]
    assert "p.clean" not in topology.topics()
    assert "p.clean.dlq" in topology.topics()


def test_a_segment_reads_the_retry_topics_that_its_stages_write() -> None:
    policy = retry(1, then=retry_later([10, 60]))
    [segment] = build(
        Pipeline("p", source=SOURCE)
        .stage(clean, on_error=policy)
        .stage(same, on_error=retry_later([5]).on({KeyError: retry_later([60])}), fused=True)
        .sink("x")
    ).segments
    first, second = (tuple(topic.name for topic in step.retry_topics) for step in segment.steps)
    assert first == ("p.clean.retry-10s", "p.clean.retry-1m")
    assert second == ("p.same.retry-5s", "p.same.retry-1m")
    assert segment.source_topics == ("raw",)
    assert segment.read_topics == ("raw", *first, *second)
    assert {*first, *second} <= set(segment.written_topics())


def test_a_pipeline_that_is_extended_twice_stays_as_it_was() -> None:
    start = Pipeline("p", source=SOURCE).stage(clean)
    start.stage(enrich)
    assert [stage.stage_id for stage in start.stages] == ["clean"]


def broken_pipelines() -> dict[str, Pipeline[Any, Any]]:
    start: Pipeline[Any, Any] = Pipeline("p", source=SOURCE)
    other: Any = Topic("other", Raw)
    anything: Any = enrich
    return {
        "has no stage": start,
        "takes Clean, but topic 'raw' gives Raw": start.stage(anything).sink("x"),
        "2 stages are called 'clean'": start.stage(clean).stage(anything, name="clean").sink("x"),
        "go nowhere": start.stage(clean),
        "is declared with Raw": start.stage(clean).sink(other),
        "its route 'alerts' is declared": start.stage(clean, routes={"alerts": other}).sink("x"),
        "'p.clean.retry-10s' is the name of a retry topic": start.stage(
            clean, on_error=retry_later([10]), dead_letters="p.clean.retry-10s"
        ).sink("x"),
        "skip lets Raw flow on unchanged": start.stage(clean, on_error=skip()).sink("x"),
        "renamed_from 'same' is the name of a stage": start.stage(clean, renamed_from="same")
        .stage(same)
        .sink("x"),
        "renamed_from 'old' is the name of a stage": start.stage(clean, renamed_from="old")
        .stage(same, renamed_from="old")
        .sink("x"),
        "cannot be fused": start.stage(clean, fused=True).sink("x"),
        "that the pipeline reads": start.stage(clean).sink("raw"),
        "'take-all' has nothing to read: stage 'write' gives no outputs": start.stage(clean)
        .stage(write)
        .stage(take_all)
        .sink("x"),
        "drop one of the two": start.stage(clean, output=Topic("t", Clean))
        .stage(same, fused=True)
        .sink("x"),
    }


OF_THE_HEAD: dict[str, Any] = {
    "concurrency": 2,
    "ordering": "partition",
    "max_in_flight_records": 5,
    "max_in_flight_bytes": 5,
    "max_key_backlog_records": 5,
    "on_key_backlog": "stop",
    "on_lost_position": "latest",
}


@pytest.mark.parametrize("setting", OF_THE_HEAD)
def test_a_setting_that_counts_for_the_head_is_refused_at_a_fused_stage(setting: str) -> None:
    own: Any = {setting: OF_THE_HEAD[setting]}
    start = Pipeline("p", source=SOURCE)
    fused = start.stage(clean).stage(same, fused=True, **own).sink("x")
    with pytest.raises(PipelineError, match=f"is fused, so {setting} would have no effect"):
        build(fused)
    assert build(start.stage(clean, **own).stage(same, fused=True).sink("x")).segments


@pytest.mark.parametrize("setting", [{"timeout_seconds": 5}, {"max_outputs_per_record": 5}])
def test_a_setting_of_attempts_is_taken_at_a_fused_stage(setting: Any) -> None:
    pipeline = Pipeline("p", source=SOURCE).stage(clean).stage(same, fused=True, **setting)
    assert build(pipeline.sink("x")).segments


@pytest.mark.parametrize("sentence", broken_pipelines())
def test_what_does_not_fit_is_said_in_one_sentence(sentence: str) -> None:
    with pytest.raises(PipelineError) as raised:
        build(broken_pipelines()[sentence])
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_second_sink_is_refused_and_so_is_one_beside_an_output() -> None:
    start = Pipeline("p", source=SOURCE)
    for ended in (start.stage(clean).sink("x"), start.stage(clean, output=Topic("x", Clean))):
        with pytest.raises(PipelineError, match="stage 'clean' writes to 'x' already"):
            ended.sink("y")


def test_skip_is_taken_where_input_and_output_agree() -> None:
    pipeline = Pipeline("p", source=Topic("clean", Clean)).stage(same, on_error=skip()).sink("x")
    assert build(pipeline).segments[0].steps[0].stage.config.error_policy is ErrorPolicy.SKIP


SKIPPING = {
    "skip()": skip(),
    "retry(then=skip())": retry(3, then=skip()),
    ".on({E: skip()})": dead_letter().on({KeyError: skip()}),
    ".on({E: drop(), F: skip()})": dead_letter().on({KeyError: drop(), ValueError: skip()}),
    ".on({E: retry(then=skip())})": dead_letter().on({KeyError: retry(1, then=skip())}),
}
NOT_SKIPPING = {
    "drop()": drop(),
    ".on({E: drop()})": retry(3).on({KeyError: drop()}),
    "retry(then=drop())": retry(3, then=drop()),
}


@agent
def narrow(value: Clean) -> Richer:
    return Richer(n=value.n)


@agent
def widen(value: Richer) -> Clean:
    return value


@pytest.mark.parametrize("policy", SKIPPING.values(), ids=SKIPPING)
def test_every_policy_that_can_skip_is_checked_against_the_types(policy: Policy) -> None:
    clashing = Pipeline("p", source=SOURCE).stage(clean, on_error=policy).sink("x")
    with pytest.raises(PipelineError, match="skip lets Raw flow on unchanged, but the stage gives"):
        build(clashing)
    agreeing = Pipeline("p", source=Topic("c", Clean)).stage(same, on_error=policy).sink("x")
    assert build(agreeing).segments


@pytest.mark.parametrize("policy", NOT_SKIPPING.values(), ids=NOT_SKIPPING)
def test_a_policy_that_cannot_skip_is_not(policy: Policy) -> None:
    pipeline = Pipeline("p", source=SOURCE).stage(clean, on_error=policy).sink("x")
    assert build(pipeline).segments


@pytest.mark.parametrize("policy", SKIPPING.values(), ids=SKIPPING)
def test_a_skip_needs_an_input_that_is_an_output_and_not_the_other_way_round(
    policy: Policy,
) -> None:
    special = Pipeline("p", source=Topic("c", Clean)).stage(narrow, on_error=policy).sink("x")
    with pytest.raises(PipelineError, match="lets Clean flow on unchanged, but the stage gives Ri"):
        build(special)
    general = Pipeline("p", source=Topic("r", Richer)).stage(widen, on_error=policy).sink("x")
    assert build(general).segments


def test_an_old_name_survives_the_fused_stages_behind_it() -> None:
    topology = build(
        Pipeline("p", source=SOURCE)
        .stage(clean, renamed_from="before")
        .stage(same, fused=True)
        .stage(enrich, fused=True)
        .stage(widen)
        .stage(same, name="more", renamed_from="less")
        .stage(same, name="most", fused=True)
        .sink("x")
    )
    assert [(s.name, s.renamed_from) for s in topology.segments] == [
        ("clean", "before"),
        ("widen", None),
        ("more", "less"),
    ]


def test_a_stage_that_gives_nothing_needs_no_sink() -> None:
    assert build(Pipeline("p", source=Topic("clean", Clean)).stage(write)).segments


def test_a_more_special_output_fits_the_next_stage() -> None:
    pipeline = Pipeline("p", source=Topic("c", Clean)).stage(enrich).stage(same).sink("x")
    assert len(build(pipeline).segments) == 2


def test_names_must_be_legal_for_topics() -> None:
    with pytest.raises(TopicError, match="does not take"):
        build(Pipeline("p p", source=SOURCE).stage(clean).sink("x"))


def test_a_setting_out_of_range_names_pipeline_stage_and_setting() -> None:
    with pytest.raises(PipelineError, match=r"pipeline 'p', stage 'clean': timeout_seconds: "):
        Pipeline("p", source=SOURCE).stage(clean, timeout_seconds=0)


@pytest.mark.parametrize(
    "bad",
    [{"retry_count": -1}, {"then": "retry"}, {"timeout_seconds": 0}, {"error_policy": "explode"}],
)
def test_a_bad_stage_config_raises_at_construction(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StageConfig(**bad)


def test_the_defaults_of_a_stage_are_those_that_were_decided() -> None:
    config = StageConfig()
    assert (config.retry_count, config.timeout_seconds, config.error_policy) == (
        3,
        120,
        ErrorPolicy.RETRY,
    )
    assert config.policy.then is ErrorPolicy.DEAD_LETTER


@pytest.mark.parametrize("field", ["stage_id", "stage_name"])
def test_a_stage_without_a_name_is_refused(field: str) -> None:
    names = {"stage_id": "a", "stage_name": "a"} | {field: " "}
    with pytest.raises(ValidationError):
        Stage(agent=clean, **names)


def test_a_policy_given_to_a_stage_goes_over_its_config() -> None:
    config = StageConfig(retry_count=9, error_policy=ErrorPolicy.DROP)
    staged = Pipeline("p", source=SOURCE).stage(clean, config=config, on_error=retry(2))
    assert staged.stages[0].config.policy == retry(2)
    staged = Pipeline("p", source=SOURCE).stage(clean, config=config)
    assert staged.stages[0].config.policy.action is ErrorPolicy.DROP


def test_an_agent_that_is_not_decorated_is_refused() -> None:
    undecorated: Any = len
    with pytest.raises(PipelineError, match="decorate it with @agent"):
        Pipeline("p", source=SOURCE).stage(undecorated)


def test_a_route_takes_what_the_stage_gives() -> None:
    @agent
    def split(value: Clean) -> list[Out[Clean]]:
        return [Out(value), Out(value, to="alerts")]

    topology = build(
        Pipeline("p", source=Topic("c", Clean))
        .stage(split, on_error=dead_letter(), routes={"alerts": Topic("alerts", Clean)})
        .sink("x")
    )
    assert topology.topics() == ("c", "x", "alerts", "p.split.dlq")


CLEAN = Topic("clean", Clean)
WITH_TOMBSTONES = Topic("clean", Clean | None)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("following", [same, take_all], ids=["value", "anything"])
def test_a_stage_behind_tombstones_has_to_take_them(following: Any, *, fused: bool) -> None:
    pipeline = Pipeline("p", source=CLEAN).stage(delete).stage(following, fused=fused).sink("x")
    told = (
        r"takes \S+, but stage 'delete' gives .*Clean \| None, tombstones too; annotate its input"
    )
    with pytest.raises(PipelineError, match=told):
        build(pipeline)
    taken = Pipeline("p", source=CLEAN).stage(delete).stage(count, fused=fused).sink("x")
    assert build(taken).segments


@pytest.mark.parametrize("first", [same, take_all], ids=["value", "anything"])
def test_a_first_stage_takes_the_tombstones_that_its_source_declares(first: Any) -> None:
    pipeline = Pipeline("p", source=WITH_TOMBSTONES).stage(first).sink("x")
    with pytest.raises(PipelineError, match=r"topic 'clean' gives .*, tombstones too"):
        build(pipeline)
    assert build(Pipeline("p", source=WITH_TOMBSTONES).stage(count).sink("x")).segments
    assert build(Pipeline("p", source=CLEAN).stage(count).sink("x")).segments


def test_any_topic_of_the_values_can_hold_tombstones() -> None:
    sinks: list[Any] = [Topic("x", Clean), Topic("x", Clean | None), Topic("x"), "x"]
    for sink in sinks:
        start = Pipeline("p", source=CLEAN).stage(delete, routes={"to": Topic("t", Clean)})
        assert build(start.sink(sink)).segments


def test_skip_passes_tombstones_on_only_where_they_are_declared() -> None:
    def of(skipping: Any) -> Pipeline[Any, Any]:
        return Pipeline("p", source=CLEAN).stage(skipping, on_error=skip()).sink("x")

    @agent
    def values_only(value: Clean | None) -> Clean | None:
        return value

    @agent
    def anything(value: Clean | None) -> Any:
        return value

    assert build(of(delete)).segments
    for refused in (values_only, anything):
        with pytest.raises(PipelineError, match=r"skip lets .*Clean \| None flow on unchanged"):
            build(of(refused))
