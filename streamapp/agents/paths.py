"""Paths to values within a JSON object: JSONPath as RFC 9535 has it, which finds and runs nothing.

`user.name` is short for `$.user.name`. A name with spaces, dots or other signs stands in brackets:
`$['first name']`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

import jsonpath
from jsonpath.exceptions import JSONPathError
from pydantic import AfterValidator

from streamapp.agents.kinds import MISSING
from streamapp.errors import Permanent

_ENVIRONMENT = jsonpath.JSONPathEnvironment(strict=True)
for _name in ("match", "search"):
    # Their patterns can take for ever on a text that somebody has sent; rules have `matches`.
    del _ENVIRONMENT.function_extensions[_name]


class JsonPath:
    """A path, ready to be followed.

    Args:
        text: the path.

    Attributes:
        text: the path, as it was given.
        is_singular: whether it finds one value at most.

    Raises:
        ValueError: it is no path.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            query = _ENVIRONMENT.compile(_full(text))
        except (JSONPathError, RecursionError) as error:
            told = str(error).partition("\n")[0]
            raise ValueError(
                f"{text!r} is no path ({told}); write it like 'user.name', 'items[0]' or"
                " \"$['first name']\""
            ) from error
        self._find: Callable[[Any], list[Any]] = query.findall
        self.is_singular = isinstance(query, jsonpath.JSONPath) and query.singular_query()

    def all(self, value: Any) -> list[Any]:
        """All values that it finds, in their order.

        Raises:
            Permanent: the value is nested too deeply to be searched.
        """
        try:
            return self._find(value)
        except (JSONPathError, RecursionError) as error:
            raise Permanent(
                f"{self.text}: the value is nested too deeply to be searched"
            ) from error

    def get(self, value: Any) -> Any:
        """The value that it finds first; `MISSING` if there is none."""
        found = self.all(value)
        return found[0] if found else MISSING


def _full(text: str) -> str:
    if text.startswith("$"):
        return text
    return f"${text}" if text.startswith("[") else f"$.{text}"


@lru_cache(maxsize=1024)
def path(text: str) -> JsonPath:
    """The path of a text, which is compiled once.

    Raises:
        ValueError: it is no path.
    """
    return JsonPath(text)


def _a_path(text: str) -> str:
    path(text)
    return text


def _a_path_to_one(text: str) -> str:
    if not path(text).is_singular:
        raise ValueError(f"{text!r} may find several values; give a path to one")
    return text


PathText = Annotated[str, AfterValidator(_a_path)]
"""A path, in a configuration."""

OnePathText = Annotated[str, AfterValidator(_a_path_to_one)]
"""A path that finds one value at most, in a configuration."""
