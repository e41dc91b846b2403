"""The topics that a pipeline reads: as declared, and which of them a value is for."""

from collections.abc import Sequence
from typing import Any

from streamapp.errors import EncodeError, PipelineError
from streamapp.pipeline.arguments import check_topic
from streamapp.pipeline.fits import type_name
from streamapp.topics.topic import Topic


def checked_sources(where: str, value: object) -> tuple[Topic[Any], ...]:
    """The declared sources of a pipeline: one, or a sequence of several.

    Args:
        where: beginning of the error message, such as `pipeline 'p'`.
        value: the argument `source`.

    Raises:
        PipelineError: it is neither a topic nor a sequence of topics, or names a topic twice.
    """
    given = value if isinstance(value, list | tuple) else (value,)
    if not given:
        raise PipelineError(f"{where}: source is empty; give at least one Topic('name', Model)")
    for one in given:
        check_topic(where, "source", one)
    names = [one.name for one in given]
    for name in names:
        if names.count(name) > 1:
            raise PipelineError(
                f"{where}: the topic {name!r} stands in source twice; give it once, with the type"
                " of all its values"
            )
    return tuple(given)


def source_index(
    where: str, sources: Sequence[Topic[Any]], value: object, named: str | None, *, argument: str
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
            f" {names}; name one with {argument}="
        )
    return fitting[0]


def _named(where: str, sources: Sequence[Topic[Any]], named: str) -> int:
    names = [one.name for one in sources]
    if named not in names:
        raise PipelineError(
            f"{where} has no source {named!r}; it reads {', '.join(map(repr, names))}"
        )
    return names.index(named)
