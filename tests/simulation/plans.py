"""What the agents of a scenario do with each value, known beforehand."""

import hashlib
from dataclasses import dataclass

from streamapp.policies.policy import ErrorPolicy
from tests.simulation.faults import Fault
from tests.simulation.scenario import Scenario
from tests.simulation.stage_draw import StageDraw

WAITING = (Fault.SLOW, Fault.STUBBORN)
"""Kinds of failure for which an attempt has to wait."""

_ENDLESS = 1_000_000
_FOREVER_SECONDS = 1e9
_LATE = 0.5
_NOT_OF_VALUES = (Fault.UNDECODABLE, Fault.SLOW_THREAD)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an agent does with one value.

    Attributes:
        fault: how it fails; `None` if it never does.
        times: how many attempts fail, over all workers.
        seconds: how long an attempt waits.
        lingers: how long it continues after it was cancelled.
        fails_late: whether an attempt waits before it fails; otherwise it fails before it waits.
        outputs: its outputs in the end.
        may_wait: whether it can go to a retry topic.
        may_fail: whether it can end as a failure for good.
        must_fail: whether it cannot end otherwise.
    """

    fault: Fault | None
    times: int
    seconds: float
    lingers: float
    fails_late: bool
    outputs: tuple[str, ...]
    may_wait: bool
    may_fail: bool
    must_fail: bool


class Plans:
    """Draws what agents do, from the seed and the value alone."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def plan(self, index: int, value: str) -> Plan:
        """What the agent of a stage does with a value."""
        draw = self._scenario.stages[index]
        digest = hashlib.blake2b(
            f"{self._scenario.seed} {index} {value}".encode(), digest_size=20
        ).digest()
        parts = [int.from_bytes(digest[i : i + 4]) / 2**32 for i in range(0, 20, 4)]
        fault = self._fault(draw, parts[0])
        times = 1 + int(parts[1] * (draw.attempts + 1 if draw.delays else 3))
        fan_out = 0 if parts[2] < 0.1 else 1 + int(parts[2] * draw.fan_out)
        letter = "abc"[index]  # whatever stages are skipped, no two outputs have one name
        outputs = tuple(f"{value}.{letter}{i}" for i in range(min(fan_out, draw.fan_out)))
        seconds = (0.0, 0.0, 0.001, 0.05, draw.timeout_seconds * 0.3)[int(parts[3] * 5)]
        lingers = 0.0
        stops = draw.last_word is ErrorPolicy.STOP
        must_fail = False
        if fault in (Fault.PERMANENT, Fault.HOPELESS):
            if stops:
                times = 1 if fault is Fault.PERMANENT else draw.attempts
            else:
                times, must_fail = _ENDLESS, True
        is_mended = fault is Fault.HOPELESS and draw.is_mended_in_the_end
        must_fail = must_fail and not is_mended
        if fault is Fault.SLOW:
            seconds = (draw.timeout_seconds * 2, _FOREVER_SECONDS)[int(parts[4] * 2)]
        if fault is Fault.STUBBORN:
            seconds, times = draw.timeout_seconds * 2, 1
            lingers = (0.2, 2.0, 8.0)[int(parts[4] * 3)]
        can_fail = fault in (Fault.TRANSIENT, *WAITING)
        may_fail = must_fail or is_mended or (can_fail and times >= draw.attempts and not stops)
        may_wait = bool(draw.delays) and fault in (Fault.TRANSIENT, Fault.HOPELESS, *WAITING)
        fails_late = parts[4] < _LATE and fault in (Fault.TRANSIENT, Fault.HOPELESS)
        return Plan(
            fault, times, seconds, lingers, fails_late, outputs, may_wait, may_fail, must_fail
        )

    def _fault(self, draw: StageDraw, part: float) -> Fault | None:
        for fault, share in self._scenario.shares.items():
            if fault in _NOT_OF_VALUES or (fault in WAITING and not draw.is_async):
                continue
            if part < share:
                return fault
            part -= share
        return None
