"""What operators see of a member of a pool."""

from dataclasses import dataclass

from streamapp.observability.stage_metrics import BreakerState


@dataclass(frozen=True, slots=True)
class MemberState:
    """A member of a pool as it is now.

    Attributes:
        name: name of the member, unique in its pool.
        active: calls that run.
        capacity: most calls that may run at a time.
        breaker: what its breaker lets through.
        score: how long a call would keep it from others: the lowest is called next.
        calls: calls that have begun.
        failures: calls that have raised.
    """

    name: str
    active: int
    capacity: int
    breaker: BreakerState
    score: float
    calls: int
    failures: int
