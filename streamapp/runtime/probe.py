"""A probe: one record that is tried while others are held."""

from streamapp.policies.breaker import Permit
from streamapp.runtime.step_hold import StepHold
from streamapp.runtime.work import Work


class Probe:
    """A record that is tried, and what its outcome tells.

    Args:
        work: the record.
        tested: the step whose breaker it tests; `None` if it waits for no step that is open.
        permit: leave to call, of that breaker.

    Attributes:
        work: the record.
        succeeded: whether an attempt on it succeeded at the step that it tests.
    """

    __slots__ = ("_permit", "_tested", "succeeded", "work")

    def __init__(self, work: Work, tested: StepHold | None, permit: Permit | None) -> None:
        self.work = work
        self.succeeded = False
        self._tested = tested
        self._permit = permit

    @property
    def calls_for_failed_key(self) -> bool:
        """Whether it and others succeeded, and a record that failed is to be tried next."""
        breaker = None if self._tested is None else self._tested.breaker
        return breaker is not None and breaker.wants_failed_key

    def tests(self, work: Work, step: StepHold) -> bool:
        """Whether it tries this record at this step."""
        return self.work is work and self._tested is step

    def take_permit(self, step: StepHold | None = None) -> Permit | None:
        """The permit, once; with a step, only if it is that which the probe tests."""
        if step is not None and step is not self._tested:
            return None
        permit, self._permit = self._permit, None
        return permit
