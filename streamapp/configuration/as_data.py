"""Values of any type as the JSON data that they are written as."""

from collections.abc import Callable
from typing import Any

import orjson

from streamapp.serialisation import codec_for


def data_of(type_: Any) -> Callable[[Any], Any]:
    """What turns a value of a type into plain data; an object of JSON is that already."""
    encode = codec_for(type_).encode

    def convert(value: Any) -> Any:
        return value if type(value) in _PLAIN else orjson.loads(encode(value))

    return convert


_PLAIN = frozenset({dict, str, int, float, bool, type(None)})
