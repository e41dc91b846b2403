"""Values that a run sets once and that all code in it can ask for, without being given them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")


class InUse(Generic[T]):
    """The value that is in use where it is asked for.

    Args:
        name: name of the variable, for debugging.
        default: what is in use outside of any run.
    """

    def __init__(self, name: str, default: T) -> None:
        self._variable: ContextVar[T] = ContextVar(f"streamapp.{name}", default=default)
        self.get = self._variable.get

    @contextmanager
    def set(self, value: T) -> Iterator[None]:
        """Use this value in what is called, and in tasks that are created, within."""
        token = self._variable.set(value)
        try:
            yield
        finally:
            # A coroutine that is never finished is closed by nobody's context.
            with suppress(ValueError):
                self._variable.reset(token)
