"""How a bug is planted: one attribute of a class or module is another one for a while."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

Mutant = Callable[[], AbstractContextManager[None]]


class DoesNotFitError(AttributeError):
    """A bug cannot be planted any more: the code that it changes is not there."""


@contextmanager
def replaced(owner: object, name: str, replacement: Any) -> Iterator[None]:
    """Let an attribute of a class or module be another one in the block.

    Raises:
        DoesNotFitError: there is none.
    """
    if name not in vars(owner):
        raise DoesNotFitError(f"{getattr(owner, '__name__', owner)} has no {name} to replace")
    original = vars(owner)[name]
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)
