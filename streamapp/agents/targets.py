"""Where outputs have a value: `user.name`, or `/user/first.name` as a JSON pointer (RFC 6901)."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator

from streamapp.agents.kinds import MISSING, kind_of
from streamapp.errors import Permanent

Target: TypeAlias = tuple[str, ...]
"""Names of fields, from the outermost to the innermost."""


def target(text: str) -> Target:
    """The names in a text.

    Raises:
        ValueError: a name is empty.
    """
    if text.startswith("/"):
        names = [one.replace("~1", "/").replace("~0", "~") for one in text[1:].split("/")]
    else:
        names = text.split(".")
    if not all(names):
        raise ValueError(
            f"{text!r} is no place of a field; write it like 'user.name' or '/user/first.name'"
        )
    return tuple(names)


def put(value: dict[str, Any], at: Target, what: Any) -> None:
    """Set a field, and make the objects around it that are not there; others are copied first.

    Raises:
        Permanent: something else than an object is in the way.
    """
    *outer, last = at
    for depth, name in enumerate(outer, 1):
        found = value.get(name, MISSING)
        if not isinstance(found, dict) and found is not MISSING:
            raise Permanent(
                f"{'.'.join(at)} cannot be set: {'.'.join(at[:depth])} is {kind_of(found)}"
            )
        inner = {**found} if isinstance(found, dict) else {}
        value[name] = inner
        value = inner
    value[last] = what


def require_apart(targets: Iterable[Target]) -> None:
    """Refuse places of which one would overwrite another.

    Raises:
        ValueError: there are such.
    """
    for one, other in pairwise(sorted(targets)):
        if _begins_with(other, one):
            raise ValueError(f"{'.'.join(other)!r} would overwrite {'.'.join(one)!r}")


def _begins_with(one: Sequence[str], other: Sequence[str]) -> bool:
    return one[: len(other)] == other


def _a_target(text: str) -> str:
    target(text)
    return text


TargetText = Annotated[str, AfterValidator(_a_target)]
"""A place in the output, in a configuration."""
