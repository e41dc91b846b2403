"""Each attempt has a context of its own, so that none sees the variables that another has set.

This is about `contextvars.Context`; `streamapp.Context` is about the record.

Most agents set no variables. So a lane, or an execution in process, keeps its context for as long
as that is equal to the one that it began with: to compare the two takes next to no time while
nothing was set.
"""

from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_RENEWED: Any = object()
"""What `Contexts.run` is given by a lane whose context was renewed."""


class Contexts:
    """The contexts of the attempts of one lane or execution, one after the other.

    Attributes:
        clean: what each of them begins with: the variables that the segment was started with, or
            those of an execution's caller.
        current: the context of the attempt that runs, or of the last one.
    """

    __slots__ = ("clean", "current")

    def __init__(self) -> None:
        self.clean = copy_context()
        self.current = self.clean.copy()

    async def run(self, lane: Coroutine[Any, Any, T], clean: Context | None = None) -> T:
        """Run a lane; the variables that its attempts begin with are these, or the caller's."""
        self.clean = copy_context() if clean is None else clean
        self.current = self.clean.copy()
        return await self._run_steps(lane)

    @coroutine
    def renew(self) -> Generator[Any, None, Context]:
        """Continue in a new context, without a turn of the event loop; only for what `run` runs."""
        self.current = self.clean.copy()
        yield _RENEWED
        return self.current

    def is_used(self) -> bool:
        """Whether a variable was set in the current context."""
        try:
            return self.current != self.clean
        except Exception:  # noqa: BLE001 - the values of a user's variables may refuse to compare
            return True

    async def renew_if_used(self) -> None:
        """Continue in a new context if a variable was set in the current one."""
        if self.is_used():
            await self.renew()

    @coroutine
    def _run_steps(self, lane: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Run each step of a lane, from one wait to the next, in the context of its attempt."""
        resume: Any = lane.send
        given: Any = None
        while True:
            try:
                awaited = self.current.run(resume, given)
            except StopIteration as ended:
                result: T = ended.value
                return result
            resume, given = lane.send, None
            if awaited is _RENEWED:
                continue
            try:
                yield awaited
            except BaseException as thrown:  # noqa: BLE001 - the lane decides on a cancellation
                resume, given = lane.throw, thrown
