"""A topic with the type of its values, as users declare it."""

import re
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from pydantic import PydanticUserError

from streamapp.errors import TopicError
from streamapp.serialisation import Codec, codec_for
from streamapp.structs import UnknownTypeError

T = TypeVar("T")

MAX_NAME_LENGTH = 249
_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+")


@dataclass(frozen=True, slots=True, init=False)
class Topic(Generic[T]):
    """The name of a topic and the type of its values.

    The schema is a type: a pydantic model, a struct of msgspec's, a dataclass, a TypedDict or a
    plain type, read and written as JSON; `Any` or `dict` is JSON without a schema; `bytes` leaves
    values as they are.
    `X | None` declares that the topic has tombstones, records without a value.
    `Topic("playback.raw", RawPlayback)` is a `Topic[RawPlayback]` for type checkers; without a
    schema it is a `Topic[Any]`.

    Attributes:
        name: the topic's name, legal for Kafka.
        schema: type of its values.
        codec: turns values into bytes and back; built once, with the topic.

    Raises:
        TopicError: the name is not legal, or the schema is not a type that JSON can carry.
    """

    name: str
    schema: Any
    codec: Codec[T] = field(repr=False, compare=False)

    @overload
    def __init__(self: "Topic[Any]", name: str) -> None: ...
    @overload
    def __init__(self, name: str, schema: type[T]) -> None: ...
    @overload
    def __init__(self: "Topic[Any]", name: str, schema: types.UnionType) -> None: ...
    def __init__(self, name: str, schema: object = Any) -> None:
        check_topic_name(name)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "codec", topic_codec(f"topic {name!r}", schema))


def check_topic_name(name: object) -> None:
    """Check a topic name by Kafka's rules (`org.apache.kafka.common.internals.Topic`).

    Raises:
        TopicError: the name is empty, too long, `.`, `..`, or holds another character.
    """
    if problem := topic_name_problem(name):
        raise TopicError(f"the topic name {_shortened(name)} {problem}")


def topic_name_problem(name: object) -> str | None:
    """What is wrong with a topic's name, as the end of a sentence; `None` if it is legal."""
    if not isinstance(name, str):
        return f"is {type(name).__name__}, not a string"
    if not name:
        return "is empty: give the topic a name"
    if name in {".", ".."}:
        return "is reserved: choose another"
    if len(name) > MAX_NAME_LENGTH:
        return f"has {len(name)} characters: Kafka takes {MAX_NAME_LENGTH} at most"
    if not _LEGAL_NAME.fullmatch(name):
        return "holds a character that Kafka does not take: use a-z, A-Z, 0-9, '.', '_' and '-'"
    return None


def _shortened(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 60 else f"{text[:56]}...'"  # noqa: PLR2004 - fits a line


def topic_codec(what: str, schema: object) -> Codec[Any]:
    """Codec of the values of a topic.

    Args:
        what: the topic, for the error message.
        schema: type of its values.

    Raises:
        TopicError: it is not a type that JSON can carry.
    """
    if not _is_type(schema):
        raise TopicError(
            f"the schema of {what} is {schema!r}, not a type:"
            " give a pydantic model, a dataclass, a TypedDict, a plain type, dict or bytes"
        )
    try:
        return codec_for(schema)
    except PydanticUserError as error:
        reason = error.message.partition("\n")[0].rstrip(".")
        raise TopicError(f"the schema of {what} cannot be read from JSON: {reason}") from error
    except UnknownTypeError as error:
        raise TopicError(f"the schema of {what} cannot be read from JSON: {error}") from error


def _is_type(schema: object) -> bool:
    if schema is Any or isinstance(schema, type | types.UnionType):
        return True
    # list[int], Annotated[...], Optional[...], Literal[...]: forms that have an origin.
    return typing.get_origin(schema) is not None
