"""Topics whose names match a regular expression, with the type of their values."""

import importlib
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from streamapp.errors import TopicError
from streamapp.serialisation import Codec
from streamapp.topics.topic import topic_codec

T = TypeVar("T")

MAX_PATTERN_LENGTH = 249
"""As long as a name may be."""

MAX_TOPICS = 100
"""Default for how many topics may match."""

_MAX_REPETITIONS = (
    3  # with n of them, matching a name may take steps by the nth power of its length
)
_NOT_READ = re.compile(r"__.*|.*\.(dlq|dlq\.ledger|replay|retry-[0-9][0-9a-z.]*)")
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_REFERENCES = {"GROUPREF", "GROUPREF_EXISTS"}


@dataclass(frozen=True, slots=True, init=False)
class TopicPattern(Generic[T]):
    r"""All topics whose whole names match a regular expression, and the type of their values.

    `TopicPattern(r"playback\.[a-z]+", Playback)` is a `TopicPattern[Playback]` for type checkers.
    Topics that come later are read from their beginning. Kafka's internal topics, the topics that
    the pipeline itself writes, and dead letters, replay and retry topics under their default names
    never match.

    Attributes:
        name: the regular expression, in Python's syntax.
        schema: type of the values, as for a `Topic`.
        max_topics: most topics that may match; a limit for mistakes.
        codec: turns values into bytes and back; built once, with the pattern.

    Raises:
        TopicError: it is no regular expression, or matching could take long; or the schema is not a
            type that JSON can carry; or `max_topics` is below 1.
    """

    name: str
    schema: Any
    max_topics: int
    codec: Codec[T] = field(repr=False, compare=False)

    @overload
    def __init__(
        self: "TopicPattern[Any]", pattern: str, *, max_topics: int = MAX_TOPICS
    ) -> None: ...
    @overload
    def __init__(self, pattern: str, schema: type[T], *, max_topics: int = MAX_TOPICS) -> None: ...
    @overload
    def __init__(
        self: "TopicPattern[Any]",
        pattern: str,
        schema: types.UnionType,
        *,
        max_topics: int = MAX_TOPICS,
    ) -> None: ...
    def __init__(self, pattern: str, schema: object = Any, *, max_topics: int = MAX_TOPICS) -> None:
        _check_pattern(pattern)
        if type(max_topics) is not int or max_topics < 1:
            raise TopicError(f"the topic pattern {pattern!r}: max_topics must be at least 1")
        object.__setattr__(self, "name", pattern)
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "max_topics", max_topics)
        object.__setattr__(self, "codec", topic_codec(f"topic pattern {pattern!r}", schema))

    def matches(self, topic: str) -> bool:
        """Whether the pattern stands for this topic."""
        return not _NOT_READ.fullmatch(topic) and bool(re.fullmatch(self.name, topic))


def _check_pattern(pattern: object) -> None:
    """Require a regular expression that matches any name fast.

    Raises:
        TopicError: it is none.
    """
    if not isinstance(pattern, str):
        raise TopicError(f"the topic pattern is {type(pattern).__name__}, not a string")
    if not pattern or len(pattern) > MAX_PATTERN_LENGTH:
        raise TopicError(
            f"the topic pattern has {len(pattern)} characters: give 1 to {MAX_PATTERN_LENGTH}"
        )
    try:
        re.compile(pattern)
        # There is no public way to see the parts of an expression.
        parsed = importlib.import_module("re._parser").parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise TopicError(
            f"the topic pattern {pattern!r} is no regular expression: {error}"
        ) from error
    if problem := _slow_part(list(_parts(parsed, 0))):
        raise TopicError(f"the topic pattern {pattern!r} {problem}")


def _slow_part(parts: list[tuple[str, int]]) -> str | None:
    """What may take long to match, as the end of a sentence; `None` if nothing does."""
    kinds = [kind for kind, _ in parts]
    if not _REFERENCES.isdisjoint(kinds):
        return "refers to a group: write it out"
    if any(depth for _, depth in parts):
        return "has a repetition or a choice inside a repetition: write one set, such as [a-z.]*"
    repetitions = sum(kind in _REPEATS for kind in kinds)
    if repetitions > _MAX_REPETITIONS:
        return f"has {repetitions} repetitions: at most {_MAX_REPETITIONS} are allowed"
    return None


def _parts(parsed: Any, depth: int) -> Iterator[tuple[str, int]]:
    """Repetitions, choices and references, each with the number of repetitions that it is in."""
    for part, argument in parsed:
        kind, repeats = str(part), str(part) in _REPEATS
        # What is there once or not at all is no loop, but inside one it is a choice.
        if repeats:
            yield (kind if argument[1] > 1 else "BRANCH"), depth
        elif kind == "BRANCH" or kind in _REFERENCES:
            yield kind, depth
        yield from _inner(argument, depth + (repeats and argument[1] > 1))


def _inner(argument: Any, depth: int) -> Iterator[tuple[str, int]]:
    if type(argument).__name__ == "SubPattern":
        yield from _parts(argument, depth)
    elif isinstance(argument, tuple | list):
        for one in argument:
            yield from _inner(one, depth)
