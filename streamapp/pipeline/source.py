"""What a segment reads: topics by name, and topics by a pattern."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from streamapp.errors import TopicError
from streamapp.serialisation import Codec
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern

Declared: TypeAlias = Topic[Any] | TopicPattern[Any]
"""A source as the user declares it."""


def kind_and_name(declared: Declared) -> str:
    """A declared source as messages name it, such as `topic 'a'`."""
    kind = "topic" if isinstance(declared, Topic) else "pattern"
    return f"{kind} {declared.name!r}"


@dataclass(frozen=True, slots=True)
class Source:
    """A topic that a segment reads.

    Attributes:
        topic: its name.
        codec: codec of its values; they decode to what the first step takes.
    """

    topic: str
    codec: Codec[Any]


@dataclass(frozen=True, slots=True)
class PatternSource:
    """Topics that a segment reads if their names match.

    Attributes:
        pattern: which names match.
        codec: codec of their values; they decode to what the first step takes.
        own: topics of the pipeline, which it does not read by the pattern.
    """

    pattern: TopicPattern[Any]
    codec: Codec[Any]
    own: frozenset[str] = frozenset()

    def matches(self, topic: str) -> bool:
        """Whether the segment reads a topic of this name."""
        return topic not in self.own and self.pattern.matches(topic)


def sources_of(
    declared: Sequence[Declared], taken: Codec[Any]
) -> tuple[tuple[Source, ...], tuple[PatternSource, ...]]:
    """The sources of a segment whose first step takes values of one codec.

    A single topic is read as what the step takes. Of several, each is read as what it is declared
    with: a value of one type might be read as one of another, if the step takes both.
    """
    if len(declared) == 1 and isinstance(declared[0], Topic):
        return (Source(declared[0].name, taken),), ()
    topics, patterns = [], []
    for one in declared:
        codec = taken if one.schema is Any else one.codec
        if isinstance(one, Topic):
            topics.append(Source(one.name, codec))
        else:
            patterns.append(PatternSource(one, codec))
    return tuple(topics), tuple(patterns)


def without_own(
    patterns: Sequence[PatternSource], topics: Collection[str]
) -> tuple[PatternSource, ...]:
    """The same patterns, which match none of these topics."""
    return tuple(replace(one, own=frozenset(topics)) for one in patterns)


def matching(patterns: Sequence[PatternSource], existing: Collection[str]) -> tuple[str, ...]:
    """Names of the existing topics that match, in their order; the first pattern that does counts.

    Raises:
        TopicError: more match a pattern than its `max_topics`.
    """
    found: set[str] = set()
    for one in patterns:
        names = {name for name in existing if name not in found and one.matches(name)}
        if len(names) > one.pattern.max_topics:
            raise TopicError(
                f"{len(names)} topics match the pattern {one.pattern.name!r}, and max_topics is"
                f" {one.pattern.max_topics}: raise it, or give a narrower pattern"
            )
        found |= names
    return tuple(sorted(found))
