"""Tells whether what is given as a schema is one, and when two are the same."""

from collections.abc import Hashable, Mapping
from typing import Any, get_origin

import orjson

from streamapp.errors import RegistryError

MAX_VALUES = 200_000
"""How many values a JSON schema may hold, those counted again that are in it several times."""


def content_key(content: Any) -> Hashable:
    """What is equal for the same types and for the same JSON schemas.

    Raises:
        RegistryError: it is neither a type nor a JSON schema, or too large.
    """
    if isinstance(content, Mapping):
        _check_size(content)
        try:
            return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:
            raise RegistryError(f"a JSON schema cannot be written as JSON: {error}") from error
    if not isinstance(content, type) and content is not Any and get_origin(content) is None:
        raise RegistryError(
            f"{content!r} is no schema; give a type, a JSON schema as a mapping, or a name"
        )
    try:
        hash(content)
    except TypeError:  # as of `Annotated` with notes that have no hash
        return id(content)  # which the schema keeps alive
    return content if isinstance(content, Hashable) else id(content)


def _check_size(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that would not fit into memory once it is written.

    Raises:
        RegistryError: it is too large, or within itself.
    """
    waiting: list[Any] = [schema]
    for _ in range(MAX_VALUES):
        if not waiting:
            return
        if len(waiting) > MAX_VALUES:
            break
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    raise RegistryError(f"a JSON schema has more than {MAX_VALUES:,} values; make it smaller")
