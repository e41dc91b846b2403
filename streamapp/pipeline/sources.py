"""The topics that a pipeline reads: as declared, and which of them a value is for."""

from collections.abc import Sequence

from streamapp.errors import EncodeError, PipelineError
from streamapp.pipeline.arguments import check_topic
from streamapp.pipeline.fits import type_name
from streamapp.pipeline.source import Declared, kind_and_name
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern


def checked_sources(where: str, value: object) -> tuple[Declared, ...]:
    """The declared sources of a pipeline: one, or a sequence of several.

    Args:
        where: beginning of the error message, such as `pipeline 'p'`.
        value: the argument `source`.

    Raises:
        PipelineError: it is neither a topic or pattern nor a sequence of them, or a topic stands
            there twice: by its name, or because a pattern matches it.
    """
    given = value if isinstance(value, list | tuple) else (value,)
    if not given:
        raise PipelineError(f"{where}: source is empty; give at least one Topic('name', Model)")
    for one in given:
        if not isinstance(one, TopicPattern):
            check_topic(where, "source", one)
    for i, one in enumerate(given):
        for other in given[i + 1 :]:
            if type(one) is type(other) and one.name == other.name:
                raise PipelineError(
                    f"{where}: the {kind_and_name(one)} stands in source twice; give it once, with"
                    " the type of all its values"
                )
    for pattern in (one for one in given if isinstance(one, TopicPattern)):
        for topic in (one for one in given if isinstance(one, Topic)):
            if pattern.matches(topic.name):
                raise PipelineError(
                    f"{where}: the {kind_and_name(pattern)} in source matches the topic"
                    f" {topic.name!r}, which stands there too; drop one, or narrow the pattern"
                )
    return tuple(given)


def source_index(
    where: str, sources: Sequence[Declared], value: object, named: str | None, *, argument: str
) -> int:
    """Which source a value is for: the named one, else the only one that takes its type.

    Args:
        where: beginning of the error message.
        sources: the declared sources.
        value: a value, the bytes of one, or `None` for a tombstone.
        named: name of the topic; `None` if the type has to tell.
        argument: what the caller names a topic with, for the error message.

    Raises:
        PipelineError: there is no source of that name, or several take the value.
        EncodeError: no source takes the value.
    """
    if named is not None:
        return _named(where, sources, named)
    if len(sources) == 1:
        return 0
    fitting = list(range(len(sources)))
    if value is not None and not isinstance(value, bytes):
        exact = [i for i in fitting if sources[i].schema is type(value)]
        others = [i for i in fitting if isinstance(value, sources[i].codec.instance_of)]
        fitting = exact or others
    if not fitting:
        wanted = " or ".join(dict.fromkeys(type_name(one.schema) for one in sources))
        raise EncodeError(f"{where} takes {wanted}, not a {type(value).__name__}")
    if len(fitting) > 1:
        names = ", ".join(repr(sources[i].name) for i in fitting)
        raise PipelineError(
            f"{where}: a value of type {type(value).__name__} could be for each of its sources"
            f" {names}; name one with {argument}={_HINT if _has_pattern(sources) else ''}"
        )
    return fitting[0]


def _named(where: str, sources: Sequence[Declared], named: str) -> int:
    for i, one in enumerate(sources):
        if one.matches(named) if isinstance(one, TopicPattern) else one.name == named:
            return i
    names = ", ".join(repr(one.name) for one in sources)
    hint = _HINT if _has_pattern(sources) else ""
    raise PipelineError(f"{where} has no source {named!r}; it reads {names}{hint}")


_HINT = "; for a pattern give the name of a topic that matches it"


def _has_pattern(sources: Sequence[Declared]) -> bool:
    return any(isinstance(one, TopicPattern) for one in sources)
