"""Keys within objects: what is looked up, counted or compared by."""

from hashlib import blake2b
from typing import Any, TypeAlias

from streamapp.agents.kinds import MISSING, is_number, kind_of
from streamapp.agents.paths import path
from streamapp.errors import Permanent

Key: TypeAlias = str | int | float | bool
"""A key as an object has it."""

_LONG = 64


class KeyPath:
    """A path to the key of an object.

    Args:
        text: the path, to one value.
    """

    def __init__(self, text: str) -> None:
        self._path = path(text)

    def key(self, value: Any) -> Key | None:
        """The key of an object; `None` if it is missing or null.

        Raises:
            Permanent: it is a list or an object.
        """
        found = self._path.get(value)
        if found is MISSING or found is None:
            return None
        if not isinstance(found, str | int | float):
            raise Permanent(f"{self._path.text}: {kind_of(found)} is no key")
        return found

    def required(self, value: Any) -> Key:
        """The key of an object.

        Raises:
            Permanent: it is missing, null, a list or an object.
        """
        found = self.key(value)
        if found is None:
            raise Permanent(f"{self._path.text}: the key is missing")
        return found

    def text(self, value: Any) -> str | None:
        """The key as text, an integer by its digits; `None` if it is missing or null.

        Raises:
            Permanent: it is neither.
        """
        found = self.key(value)
        if found is None or isinstance(found, str):
            return found
        if isinstance(found, bool | float):
            raise Permanent(f"{self._path.text}: give a text or an integer as key")
        return str(found)


def remembered(key: Key) -> object:
    """What stands for a key in memory: equal for equal keys only, and of bounded size."""
    if isinstance(key, str) and len(key) > _LONG:
        return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).digest()
    return ("number", key) if is_number(key) else (type(key).__name__, key)
