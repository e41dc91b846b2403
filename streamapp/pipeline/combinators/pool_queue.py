"""Calls that wait for a member of their pool, in the order in which they came."""

from asyncio import Event
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from streamapp.clock import current_clock
from streamapp.pipeline.combinators.tasks import within
from streamapp.policies.balance import Balance, Call, Reason, Unavailable
from streamapp.policies.member import Member

_SHORTEST_WAIT_SECONDS = 0.001
"""Rounding may let a moment that has come seem to be still ahead by nothing."""

_WORTH_WAITING = (Reason.FULL, Reason.LIMITED, Reason.PROBING)


class _Waiter:
    """A call that waits.

    Attributes:
        tried: members that its attempt has called already.
        found: the call that it was given, or why there is none to wait for; `None` while it waits.
        woken: set when `found` is known, and when it is to look at the time anew.
        wakes_at: until when it sleeps; `None` if only another call's end wakes it.
    """

    __slots__ = ("found", "tried", "wakes_at", "woken")

    def __init__(self, tried: Sequence[Member]) -> None:
        self.tried = tried
        self.found: Call | Unavailable | None = None
        self.woken = Event()
        self.wakes_at: float | None = None


class PoolQueue:
    """Begins calls, or lets them wait until a member has a place.

    Nothing is asked again and again: whoever ends a call says so by `serve`, and of those that wait
    only the first keeps an eye on the time, for limits a minute and probes.

    Args:
        balance: chooses the member.
    """

    def __init__(self, balance: Balance) -> None:
        self._balance = balance
        self._waiting: deque[_Waiter] = deque()

    async def begin_call(self, tried: Sequence[Member]) -> Call | Unavailable:
        """Begin a call of a member that this attempt has not tried, once one has a place.

        No call overtakes an earlier one that could be served by the same member.

        Returns:
            The call; or why there is none to wait for: all were tried, or no breaker lets one
            through.
        """
        if not self._waiting:
            found = self._balance.choose(current_clock().monotonic(), tried)
            if not _has_to_wait(found):
                return found
        return await self._wait(_Waiter(tried))

    def serve(self) -> None:
        """Begin the calls that can be begun now, as a place or the state of a breaker changed."""
        if not self._waiting:
            return
        now = current_clock().monotonic()
        is_any_free = True
        for waiter in tuple(self._waiting):
            if not waiter.tried and not is_any_free:
                continue
            found = self._balance.choose(now, waiter.tried)
            if not _has_to_wait(found):
                self._waiting.remove(waiter)
                waiter.found = found
                waiter.woken.set()
            elif not waiter.tried:
                is_any_free = False
        self._wake_first(now)

    async def _wait(self, waiter: _Waiter) -> Call | Unavailable:
        self._waiting.append(waiter)
        self.serve()
        try:
            while waiter.found is None:
                await self._sleep(waiter)
        except BaseException:
            if waiter.found is None:
                self._waiting.remove(waiter)
            elif isinstance(waiter.found, Call):  # it was served, and cancelled before it knew
                waiter.found.released()
            self.serve()
            raise
        return waiter.found

    async def _sleep(self, waiter: _Waiter) -> None:
        """Wait until it is woken or, if it is the first, until time may have changed something."""
        waiter.woken.clear()
        now = current_clock().monotonic()
        is_first = waiter is self._waiting[0]
        waiter.wakes_at = self._balance.next_change_at(now) if is_first else None
        if waiter.wakes_at is None:
            await waiter.woken.wait()
            return
        seconds = max(waiter.wakes_at - now, _SHORTEST_WAIT_SECONDS)
        with suppress(TimeoutError):
            await within(seconds, "the wait for a member", waiter.woken.wait)
        if waiter.found is None:
            self.serve()

    def _wake_first(self, now: float) -> None:
        """Let the first look at the time anew, if it would sleep for too long."""
        if not self._waiting:
            return
        first = self._waiting[0]
        at = self._balance.next_change_at(now)
        if at is not None and (first.wakes_at is None or at < first.wakes_at):
            first.woken.set()


def _has_to_wait(found: Call | Unavailable) -> bool:
    return isinstance(found, Unavailable) and found.reason in _WORTH_WAITING
