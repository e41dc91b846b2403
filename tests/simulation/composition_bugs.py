"""Bugs in holds, pools, branches and the audit trail.

Each changes one named place. If that place no longer exists, planting fails with an error that says
so; then the bug has to be moved.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from streamapp.pipeline import trail as trail_module
from streamapp.pipeline.combinators import branches as branches_module
from streamapp.pipeline.combinators import tasks as tasks_module
from streamapp.pipeline.combinators.join import Join, checked_join
from streamapp.policies.balance import Call
from streamapp.policies.breaker import Permit
from streamapp.policies.member import Member
from streamapp.runtime.hold import Hold
from streamapp.runtime.step_hold import StepHold
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Work
from tests.simulation.planting import Mutant, replaced


def place_of_a_cancelled_call_not_returned() -> AbstractContextManager[None]:
    return replaced(Call, "abandoned", lambda _call, _now: None)


def permit_of_a_cancelled_probe_not_returned() -> AbstractContextManager[None]:
    return replaced(Permit, "released", lambda _permit: None)


def two_probes_at_once() -> AbstractContextManager[None]:
    original = Hold._probe_next

    async def probe_next(hold: Hold, is_open: Sequence[StepHold]) -> None:
        await original(hold, is_open)
        await asyncio.sleep(0)  # a lane takes the first
        if hold._probe is not None and (work := hold._retries.take_held()) is not None:
            hold._ready.let_through(work)

    return replaced(Hold, "_probe_next", probe_next)


def hold_that_commits() -> AbstractContextManager[None]:
    original = Hold.holds

    def holds(hold: Hold, step: StepRunner, work: Work, error: Exception) -> bool:
        is_held = original(hold, step, work, error)
        if is_held:
            work.partition.frontier.finish([work.record.offset])
        return is_held

    return replaced(Hold, "holds", holds)


def join_called_twice() -> AbstractContextManager[None]:
    def checked_twice(*args: Any) -> Join:
        join = checked_join(*args)

        def twice(*given: Any) -> Any:
            join.function(*given)
            return join.function(*given)

        return replace(join, function=twice)

    return replaced(branches_module, "checked_join", checked_twice)


def branch_left_running() -> AbstractContextManager[None]:
    async def end(_tasks: object) -> None:
        pass

    return replaced(tasks_module, "end", end)


def penalty_of_a_member_never_decays() -> AbstractContextManager[None]:
    original = Member.score

    def score(member: Member, now: float, fastest_seconds: float) -> float:
        member._penalised_at = now
        return original(member, now, fastest_seconds)

    return replaced(Member, "score", score)


def history_that_grows() -> AbstractContextManager[None]:
    return replaced(trail_module, "MAX_HEADER_BYTES", 1 << 20)


FIFTH: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        place_of_a_cancelled_call_not_returned,
        permit_of_a_cancelled_probe_not_returned,
        two_probes_at_once,
        hold_that_commits,
        join_called_twice,
        branch_left_running,
        penalty_of_a_member_never_decays,
        history_that_grows,
    )
}
