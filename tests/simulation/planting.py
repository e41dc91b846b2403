"""Plants a bug: replaces one attribute of a class or module for a while."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

Mutant = Callable[[], AbstractContextManager[None]]


class DoesNotFitError(AttributeError):
    """The code that a bug changes no longer exists, so it cannot be planted."""


@contextmanager
def replaced(owner: object, name: str, replacement: Any) -> Iterator[None]:
    """Replace an attribute of a class or module within the block.

    Raises:
        DoesNotFitError: there is no such attribute.
    """
    if name not in vars(owner):
        raise DoesNotFitError(f"{getattr(owner, '__name__', owner)} has no {name} to replace")
    original = vars(owner)[name]
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)
