"""Paths to values within a JSON object: JSONPath as RFC 9535 has it, which finds and runs nothing.

Hot path: `JsonPath.get` is called for each record. The library reads every path; those to one value
are names and indexes, which are followed here in a twentieth of the library's time.

`user.name` is short for `$.user.name`. A name with spaces, dots or other signs stands in brackets:
`$['first name']`.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any

import jsonpath
from jsonpath.exceptions import JSONPathError
from jsonpath.selectors import NameSelector
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
        names: the names that lead to it, if nothing else does; otherwise `None`.

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
        self._steps: Sequence[Any] | None = _steps_of(query) if self.is_singular else None
        names = [step for step in self._steps or () if isinstance(step, str)]
        self.names = tuple(names) if names and len(names) == len(self._steps or ()) else None

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
        if self._steps is None:
            found = self.all(value)
            return found[0] if found else MISSING
        for step in self._steps:
            if not isinstance(value, dict if type(step) is str else list):
                return MISSING
            try:
                value = value[step]
            except LookupError:
                return MISSING
        return value


def _steps_of(query: Any) -> tuple[str | int, ...]:
    """Names and indexes of a path to one value, from the outermost to the innermost."""
    selectors = [selector for segment in query.segments for selector in segment.selectors]
    return tuple(
        selector.name if isinstance(selector, NameSelector) else selector.index
        for selector in selectors
    )


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
