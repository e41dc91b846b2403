"""Settings of a stage."""

from typing import Any

import pytest
from pydantic import ValidationError

from streamapp import Pipeline, Topic, agent
from streamapp.pipeline.stage import Stage, StageConfig
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import ErrorPolicy, dead_letter, drop, retry, skip


@agent
def same(text: str) -> str:
    return text


def test_the_defaults_are_as_documented() -> None:
    config = StageConfig()
    assert (config.retry_count, config.timeout_seconds) == (3, 120.0)
    assert (config.error_policy, config.then) == (ErrorPolicy.RETRY, ErrorPolicy.DEAD_LETTER)
    assert (config.concurrency, config.max_outputs_per_record) == (32, 1000)
    assert (config.max_in_flight_records, config.max_key_backlog_records) == (8192, 2048)
    assert config.max_in_flight_bytes == 32 * 1024 * 1024


@pytest.mark.parametrize(
    ("setting", "least"),
    [
        ("retry_count", 0),
        ("timeout_seconds", 0.001),
        ("concurrency", 1),
        ("max_outputs_per_record", 1),
        ("max_in_flight_records", 1),
        ("max_in_flight_bytes", 1),
        ("max_key_backlog_records", 1),
    ],
)
def test_a_setting_has_a_least_value(setting: str, least: float) -> None:
    values: dict[str, Any] = {setting: least}
    assert getattr(StageConfig(**values), setting) == least
    values = {setting: least - 1}
    with pytest.raises(ValidationError, match=setting):
        StageConfig(**values)


@pytest.mark.parametrize("seconds", [0.0, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValidationError, match="timeout_seconds"):
        StageConfig(timeout_seconds=seconds)


def test_a_wrong_policy_is_refused_when_the_settings_are_made() -> None:
    with pytest.raises(ValidationError, match="not retry"):
        StageConfig(then=ErrorPolicy.RETRY)


def test_settings_do_not_change_and_unknown_ones_are_refused() -> None:
    config = StageConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.concurrency = 5  # type: ignore[misc]  # the point of the test
    unknown: dict[str, Any] = {"colour": 5}
    with pytest.raises(ValidationError, match="colour"):
        StageConfig(**unknown)
    stage = Stage(stage_id="a", stage_name="a", agent=same)
    with pytest.raises(ValidationError, match="frozen"):
        stage.description = "other"  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValidationError, match="colour"):
        Stage(stage_id="a", stage_name="a", agent=same, **unknown)


@pytest.mark.parametrize("policy", [drop(), skip(), dead_letter()])
def test_a_policy_without_retries_keeps_the_count_for_a_later_one(policy: Any) -> None:
    config = StageConfig(retry_count=7).with_policy(policy)
    assert config.policy == policy
    assert config.retry_count == 7


def test_a_policy_becomes_the_settings_of_a_stage_whole() -> None:
    policy = retry(5, then=drop(), backoff=Backoff(7.0)).on({KeyError: skip()})
    assert StageConfig().with_policy(policy).policy == policy


@pytest.mark.parametrize("name", ["", "  "])
def test_a_stage_has_a_name(name: str) -> None:
    with pytest.raises(ValidationError, match="stage_id"):
        Stage(stage_id=name, stage_name="a", agent=same)


def test_a_pipeline_is_shown_by_its_source_and_stages() -> None:
    pipeline = Pipeline("p", source=Topic("in", str)).stage(same).stage(same, name="again")
    assert repr(pipeline) == "<Pipeline p: in -> same -> again>"


def test_single_settings_and_a_policy_replace_fields_of_the_configuration() -> None:
    config = StageConfig(concurrency=5, timeout_seconds=7.0)
    source = Topic("in", str)
    pipeline = Pipeline("p", source=source).stage(
        same, config=config, on_error=drop(), concurrency=6
    )
    made = pipeline.stages[0].config
    assert (made.concurrency, made.timeout_seconds, made.policy) == (6, 7.0, drop())
