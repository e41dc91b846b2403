"""The members of a pool at work in one run."""

import logging
import random
from collections.abc import Sequence

from streamapp.clock import current_clock
from streamapp.observability.stage_metrics import MemberState
from streamapp.pipeline.combinators.pool_queue import PoolQueue
from streamapp.policies.balance import Balance, Call
from streamapp.policies.breaker import Breaker
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.member import Member, MemberConfig

log = logging.getLogger(__name__)


class PoolMembers:
    """The members of a pool and the calls that wait for one.

    Args:
        pool: name of the pool, for the log.
        configs: settings of the members.
        breaker: settings of their breakers.
        rng: spreads the probes of workers that opened together.

    Attributes:
        queue: begins the calls.

    Raises:
        ValueError: there is no member, or two have one name.
    """

    def __init__(
        self,
        pool: str,
        configs: Sequence[MemberConfig],
        breaker: BreakerConfig,
        rng: random.Random,
    ) -> None:
        self._pool = pool
        self._balance = Balance([Member(config, Breaker(breaker, rng)) for config in configs])
        self._left_out: set[Member] = set()
        self.queue = PoolQueue(self._balance)

    def states(self, now: float) -> tuple[MemberState, ...]:
        """What is known of each member at a time, in the order of their declaration."""
        return self._balance.states(now)

    def end(self, call: Call) -> None:
        """Give the place of a call to one that waits.

        Its outcome was told, unless it was cancelled.
        """
        call.abandoned(current_clock().monotonic())
        self._tell_if_changed(call.member)
        self.queue.serve()

    def _tell_if_changed(self, member: Member) -> None:
        breaker = member.breaker
        if breaker.closed is (member not in self._left_out):
            return
        name = member.config.name
        if breaker.closed:
            self._left_out.discard(member)
            log.warning("pool %r: member %r takes calls again", self._pool, name)
        else:
            self._left_out.add(member)
            why = breaker.cause.in_words if breaker.cause else "it is not closed"
            log.warning("pool %r: member %r is left out: %s", self._pool, name, why)
