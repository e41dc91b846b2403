"""The topics in which failed records wait until they are retried."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from streamapp.errors import PipelineError
from streamapp.policies.delays import delay_name
from streamapp.policies.policy import Policy
from streamapp.topics.topic import check_topic_name

RETRY_INFIX = ".retry-"
"""Stands between the name of a stage and a delay in the name of a retry topic."""


@dataclass(frozen=True, slots=True)
class RetryTopic:
    """A topic in which failed records of a stage wait, all of them equally long.

    Attributes:
        name: its name, such as `<pipeline>.<stage>.retry-10s`.
        delay_seconds: how long they wait.
    """

    name: str
    delay_seconds: float


def retry_topics_of(stage: str, policy: Policy) -> tuple[RetryTopic, ...]:
    """The retry topics of a stage, the shortest delay first.

    Args:
        stage: `<pipeline>.<stage>`.
        policy: its error policy.

    Raises:
        PipelineError, TopicError: a name is too long.
    """
    topics = tuple(
        RetryTopic(f"{stage}{RETRY_INFIX}{delay_name(seconds)}", seconds)
        for seconds in policy.all_delays_seconds
    )
    for topic in topics:
        check_topic_name(topic.name)
    return topics


def check_own_topics(pipeline: str, kind: str, own: Collection[str], others: Iterable[str]) -> None:
    """Refuse a topic of a stage's own that something else is read from or written to.

    Args:
        pipeline: name of the pipeline.
        kind: what the topics are for, `retry` or `replay`.
        own: names of its topics of that kind.
        others: names of its other topics.
    """
    if shared := set(own).intersection(others):
        raise PipelineError(
            f"pipeline {pipeline!r}: {min(shared)!r} is the name of a {kind} topic, so no stage"
            " may read or write it as another topic; name that one otherwise"
        )
