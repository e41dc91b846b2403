"""What is lent for one call, and is given back when the call ends without an outcome."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class GivenBack(ABC):
    """Can be used in a `with`, which gives it back at the end unless an outcome was told."""

    __slots__ = ()

    @abstractmethod
    def released(self) -> None:
        """Give it back; does nothing after an outcome."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.released()
