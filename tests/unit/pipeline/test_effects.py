"""A setting that would have no effect beside the others is refused when the pipeline is built."""

from typing import Any

import pytest

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.policy import Policy, dead_letter, drop, retry, retry_later, skip, stop
from streamapp.topics.topic import Topic

OTHER = BreakerConfig(window_seconds=10)


@agent
def same(value: str) -> str:
    return value


def built(policy: Policy, **settings: Any) -> None:
    build(
        Pipeline("p", source=Topic("in", str)).stage(same, on_error=policy, **settings).sink("out")
    )


@pytest.mark.parametrize("policy", [stop(), skip(), drop(), retry(2, then=drop())])
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"breaker": OTHER}, "breaker"),
        ({"max_hold_seconds": 5.0}, "max_hold_seconds"),
        ({"max_hold_seconds": 5.0, "after_hold": "stop"}, "max_hold_seconds, after_hold"),
    ],
    ids=str,
)
def test_nothing_is_held_where_no_dead_letter_would_be_made(
    policy: Policy, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(PipelineError, match=f"'p', stage 'same': {named} would have no effect: re"):
        built(policy, **settings)


@pytest.mark.parametrize(
    "policy",
    [
        dead_letter(),
        retry(2),
        drop().on({KeyError: dead_letter()}),
        retry_later([10], then=skip()),
        drop().on({KeyError: retry_later([10], then=drop())}),
    ],
    ids=str,
)
def test_something_may_be_held_where_one_would_or_is_retried_later(policy: Policy) -> None:
    built(policy, breaker=OTHER, max_hold_seconds=5.0, after_hold="stop")


def test_without_a_breaker_no_hold_ends() -> None:
    with pytest.raises(
        PipelineError, match="max_hold_seconds would have no effect, since without a breaker"
    ):
        built(dead_letter(), breaker=None, max_hold_seconds=5.0)
    built(drop(), breaker=None)


def test_what_follows_a_hold_needs_its_end() -> None:
    with pytest.raises(PipelineError, match="after_hold would have no effect without max_hold_se"):
        built(dead_letter(), after_hold="stop")
