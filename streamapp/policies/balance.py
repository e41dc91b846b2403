"""Which member of a pool gets the next call."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamapp.observability.stage_metrics import MemberState
from streamapp.policies.breaker import Permit
from streamapp.policies.given_back import GivenBack
from streamapp.policies.member import Member

_SHORTEST_SECONDS = 1e-6
"""A call that seems to take no time, as on a coarse clock, counts as this."""


class Reason(StrEnum):
    """Why no member can be called now."""

    FULL = "full"  # wait for a call to end
    LIMITED = "limited"  # wait for the limits a minute
    PROBING = "probing"  # all breakers are open, and a probe is under way: wait for its end
    OPEN = "open"  # the breakers of all members are open: hold the record
    TRIED = "tried"  # those that could be called have been tried: the attempt failed


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No member can be called.

    Attributes:
        reason: why.
        until: when it may change by time alone, `None` when a call has to end first.
    """

    reason: Reason
    until: float | None = None


class Call(GivenBack):
    """A call of a member; tell it the outcome, once.

    Call `released` in a `finally`, or use it in a `with`: it gives the place back if there was no
    outcome, and does nothing after one.

    Attributes:
        member: who is called.
    """

    __slots__ = ("_began", "_permit", "member")

    def __init__(self, member: Member, permit: Permit, now: float) -> None:
        self.member = member
        self._permit: Permit | None = permit
        self._began = now

    def succeeded(self, now: float, key: Hashable = None) -> None:
        """It gave a result. `key` as in `Permit.succeeded`."""
        if permit := self._take_permit():
            seconds = now - self._began
            self.member.succeed(seconds, now)
            permit.succeeded(now, seconds, key)

    def failed(self, error: Exception, now: float, key: Hashable) -> None:
        """It raised. Choose another member, unless it is the record's fault."""
        if permit := self._take_permit():
            self.member.fail(error, now)
            permit.failed(error, now, key)

    def abandoned(self, now: float) -> None:
        """It was cancelled from outside, which says only that it took so long and did not end.

        Does nothing after an outcome.
        """
        if permit := self._take_permit():
            self.member.abandon(now - self._began, now)
            permit.released()

    def released(self) -> None:
        """Give the place back."""
        if permit := self._take_permit():
            self.member.release()
            permit.released()

    def _take_permit(self) -> Permit | None:
        permit, self._permit = self._permit, None
        return permit


class Balance:
    """Chooses members by the score of all of them.

    Score = (active + 1) / (capacity x weight) x the duration to expect, longer after failures. All
    members are looked at: pools are small, and the better of two random ones is often slow when
    half of them are. Order by key is not its matter.

    Args:
        members: of the pool, at least one.

    Raises:
        ValueError: there is none, or two have one name.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        names = [member.config.name for member in members]
        if not names:
            raise ValueError("pool: give at least one member")
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"pool: two members have the name {min(twice)}; give each its own")
        self.members = tuple(members)
        self._turns = 0

    def choose(self, now: float, exclude: Collection[Member] = ()) -> Call | Unavailable:
        """Begin a call of the best member, or tell why there is none.

        Args:
            now: the time, in seconds on a clock that never goes back.
            exclude: members that this attempt has tried.
        """
        able = [
            member
            for member in self.members
            if not member.is_full
            and member not in exclude
            and member.breaker.may_call(now)
            and member.limited_until(now) is None
        ]
        fastest = self._fastest_seconds()
        best = min(able, key=lambda one: (one.score(now, fastest), one.turn), default=None)
        permit = best.breaker.try_acquire(now) if best else None
        if best is None or permit is None:
            return self._unavailable(now, exclude)
        self._turns += 1
        best.begin(now, self._turns)
        return Call(best, permit, now)

    def next_change_at(self, now: float) -> float | None:
        """When time alone may let a member be called that cannot be called now."""
        limits = [until for one in self.members if (until := one.limited_until(now)) is not None]
        probe_at = self._next_probe_at(now)
        return min(limits if probe_at is None else [*limits, probe_at], default=None)

    def states(self, now: float) -> tuple[MemberState, ...]:
        """What is known of the members, in the order of their declaration."""
        fastest = self._fastest_seconds()
        return tuple(member.state(now, fastest) for member in self.members)

    def _fastest_seconds(self) -> float:
        known = [
            member.duration_seconds
            for member in self.members
            if member.duration_seconds is not None
        ]
        return max(min(known, default=1.0), _SHORTEST_SECONDS)

    def _unavailable(self, now: float, exclude: Collection[Member]) -> Unavailable:
        callable_ = [member for member in self.members if member.breaker.may_call(now)]
        if not callable_:
            return Unavailable(self._why_open(exclude), self._next_probe_at(now))
        left = [member for member in callable_ if member not in exclude]
        if not left:
            return Unavailable(Reason.TRIED)
        limits = [until for member in left if (until := member.limited_until(now)) is not None]
        if len(limits) < len(left):
            return Unavailable(Reason.FULL, min(limits, default=None))
        return Unavailable(Reason.LIMITED, min(limits))

    def _why_open(self, exclude: Collection[Member]) -> Reason:
        probing = [one for one in self.members if one.breaker.is_probing and one not in exclude]
        return Reason.PROBING if probing else Reason.OPEN

    def _next_probe_at(self, now: float) -> float | None:
        """The first probe that waits for its time, not for another to end."""
        times = [member.breaker.next_probe_at for member in self.members]
        return min((at for at in times if at is not None and at > now), default=None)
