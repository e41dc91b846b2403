from typing import Any

import pytest

from streamapp import Pipeline, Topic, agent, chain, dead_letter, parallel
from streamapp.errors import PipelineError


@agent
def same(text: str) -> str:
    return text


def bare(text: str) -> str:
    return text


# What a checker would refuse is given here as `Any`, as by a user who runs none.
UNTYPED: Any = Pipeline("p", source=Topic("in", str))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("a", r"source is 'a'; give Topic\('a', Model\)"),
        (str, r"source is the class str; give Topic\('name', Model\)"),
        (None, r"source is None; give Topic\('name', Model\)"),
    ],
)
def test_a_source_that_is_no_topic_is_told(source: Any, sentence: str) -> None:
    with pytest.raises(PipelineError, match=f"^pipeline 'p': {sentence}$"):
        Pipeline("p", source=source)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (bare, "the function bare; decorate it with @agent"),
        (lambda text: text, "the function <lambda>; decorate it with @agent"),
        (5, "5; give a function with @agent"),
        (parallel(same, same), r"parallel\(…\) without its join; add \.join\(f\)"),
    ],
)
def test_a_stage_of_something_that_is_no_agent_is_told(given: object, sentence: str) -> None:
    with pytest.raises(PipelineError, match=rf"^pipeline 'p': \.stage\(\) was given {sentence}$"):
        UNTYPED.stage(given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"on_error": dead_letter},
            r"on_error is the function dead_letter; call it: dead_letter\(\)",
        ),
        ({"on_error": "drop"}, r"on_error is 'drop'; give a policy, such as dead_letter\(\)"),
        ({"output": "out"}, r"output is 'out'; give Topic\('out', Model\)"),
        ({"routes": {"late": "x"}}, r"route 'late' is 'x'; give Topic\('x', Model\)"),
        ({"routes": ["late"]}, "routes is of type list; give topics by name"),
        ({"dead_letters": Topic("dlq")}, "dead_letters is the topic 'dlq'; give the topic's name"),
        ({"renamed_from": same}, "renamed_from is the agent 'same'; give the stage's old name"),
        ({"renamed_from": 5}, "renamed_from is 5; give the stage's old name"),
        ({"config": {"retry_count": 1}}, r"config is of type dict; give StageConfig\(\.\.\.\)"),
        ({"timeout": 3}, r"there is no setting 'timeout'; did you mean timeout_seconds\? The set"),
        ({"on_errors": 3}, r"there is no setting 'on_errors'; did you mean on_error\?"),
        (
            {"colour": 3},
            r"there is no setting 'colour'\. The settings are: .*concurrency, ordering",
        ),
    ],
)
def test_a_wrong_argument_of_a_stage_is_told(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=f"^pipeline 'p', stage 'same': {sentence}") as told:
        UNTYPED.stage(same, **given)
    assert "\n" not in str(told.value)


def test_every_field_of_the_stage_configuration_is_a_setting() -> None:
    assert UNTYPED.stage(same, retry_count=1).stages[0].config.retry_count == 1


def test_a_sink_that_is_no_topic_is_told() -> None:
    with pytest.raises(PipelineError, match=r"^pipeline 'p': \.sink\(\) was given 5; give a topic"):
        UNTYPED.stage(same).sink(5)


def test_a_sink_without_a_stage_is_told() -> None:
    with pytest.raises(PipelineError, match="add a stage before"):
        UNTYPED.sink("out")


def test_a_second_sink_is_told() -> None:
    with pytest.raises(PipelineError, match="stage 'same' writes to 'out' already"):
        UNTYPED.stage(same).sink("out").sink("other")


def test_only_the_closest_setting_is_suggested() -> None:
    with pytest.raises(PipelineError, match=r"did you mean max_in_flight_records\?"):
        UNTYPED.stage(same, max_in_flight_record=3)


def test_a_stage_shows_the_description_of_its_agent() -> None:
    @agent
    def explained(text: str) -> str:
        """Give it back."""
        return text

    assert UNTYPED.stage(explained).stages[0].description == "Give it back."


def test_branches_without_a_join_are_told_as_a_part_too() -> None:
    unfinished: Any = parallel(same, same)
    with pytest.raises(PipelineError, match=r"^chain\(\) was given parallel\(…\) without its join"):
        chain(same, unfinished)
