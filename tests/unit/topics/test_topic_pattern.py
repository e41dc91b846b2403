"""Patterns of topics: what they match, and which are refused when they are made."""

from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.errors import TopicError
from streamapp.topics.topic_pattern import TopicPattern


class Event(BaseModel):
    n: int


@pytest.mark.parametrize("topic", ["playback.eu", "playback.us.west"])
def test_a_pattern_stands_for_whole_names(topic: str) -> None:
    pattern = TopicPattern(r"playback\..*", Event)
    assert pattern.matches(topic)
    assert not pattern.matches(f"my.{topic}")
    assert not TopicPattern("playback", Event).matches(topic)


@pytest.mark.parametrize(
    "topic",
    [
        "__consumer_offsets",
        "playback.validate.dlq",
        "p.s.replay",
        "p.s.retry-10s",
        "p.s.retry-1.5h",
    ],
)
def test_what_kafka_and_the_runtime_write_never_matches(topic: str) -> None:
    assert not TopicPattern(".*", Event).matches(topic)


@pytest.mark.parametrize(
    "pattern",
    [
        r"playback\.(eu|us)",
        r"(?i)playback-v[0-9]{1,3}",
        r"(live|vod)?\.events\.[a-z]+(-[a-z]+)?",
        ".*a.*b.*",
    ],
)
def test_ordinary_expressions_are_taken(pattern: str) -> None:
    assert TopicPattern(pattern, Event).name == pattern


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "has 0 characters: give 1 to 249"),
        ("x" * 250, "has 250 characters"),
        ("(", "is no regular expression: missing \\)"),
        ("(a+)+", "has a repetition or a choice inside a repetition"),
        ("(a|ab)*", "has a repetition or a choice inside a repetition"),
        ("(a?b)*", "has a repetition or a choice inside a repetition"),
        ("(.{0,9}){0,9}", "has a repetition or a choice inside a repetition"),
        (r"(.)\1", "refers to a group"),
        (".*.*.*.*x", "has 4 repetitions: at most 3 are allowed"),
        (5, "is int, not a string"),
    ],
)
def test_what_is_no_expression_or_could_match_slowly_is_refused(pattern: Any, reason: str) -> None:
    with pytest.raises(TopicError, match=f"^the topic pattern .*{reason}"):
        TopicPattern(pattern, Event)


def test_the_schema_and_the_limit_are_checked() -> None:
    wrong: Any = "Event"
    with pytest.raises(TopicError, match=r"schema of topic pattern 'a\.\*' is 'Event', not a type"):
        TopicPattern("a.*", wrong)
    with pytest.raises(TopicError, match="max_topics must be at least 1"):
        TopicPattern("a.*", Event, max_topics=0)


def test_values_are_read_as_the_type() -> None:
    assert TopicPattern("a.*", Event).codec.decode(b'{"n":1}') == Event(n=1)
