"""Whoever is called when a stage ends by itself: reads its last sentence, and does what it says."""

from typing import TYPE_CHECKING

from streamapp.brokers.protocols import CommittedOffset
from streamapp.errors import OffsetOutOfRangeError, StageStoppedError, UnreadableRecordError
from streamapp.record import TopicPartition
from tests.simulation.faults import Fault

if TYPE_CHECKING:
    from tests.simulation.simulate import Run

_LEAST_BLOCKS = 3
"""A stage that is blocked ends when one record has done so often."""


class Operator:
    """Mends the cause of an end, and complains of ends that should not be or that come too early.

    Attributes:
        lets_losses_stop: whether a stage is still declared to stop when retention was faster.
    """

    def __init__(self, run: "Run") -> None:
        self._run = run
        self.lets_losses_stop = True

    def called(self, process: str, error: Exception, *, may_stop_on_loss: bool) -> None:
        """A service has ended with an error.

        Args:
            process: where it ran.
            error: why it has ended.
            may_stop_on_loss: whether it was declared to stop when retention was faster.
        """
        match error:
            case UnreadableRecordError():
                self._install_what_reads(process, error)
            case OffsetOutOfRangeError():
                for name, offset in error.offsets.items():
                    self._lost(process, error, name, offset, may_stop=may_stop_on_loss)
            case StageStoppedError() if "blocking=True" in str(error):
                self._declare_blocking(process, error)

    def _install_what_reads(self, process: str, error: UnreadableRecordError) -> None:
        """Another version of the client can parse the record."""
        run, name = self._run, error.partition
        self._check_all_before(process, name, error.offset)
        run.broker.log(name).unreadable.discard(error.offset)

    def _lost(
        self,
        process: str,
        error: OffsetOutOfRangeError,
        name: TopicPartition,
        offset: int,
        *,
        may_stop: bool,
    ) -> None:
        run, log = self._run, self._run.broker.log(name)
        self._check_all_before(process, name, offset)
        if offset > log.end_offset:
            group = next(p.group for p in run.checker.parts if name.topic in p.sources)
            commits = run.broker.group(group).commits
            committed = commits.get(name)
            if committed is not None and committed.offset > log.end_offset:
                # Else another worker has taken over from where the log still is.
                commits[name] = CommittedOffset(log.end_offset)
                run.checker.offset_set(group, name, log.end_offset)
            return
        if not may_stop or not run.scenario.stages[0].stops_on_loss:
            run.checker.complain(f"{process} stopped, and was to go on: {error}")
        self.lets_losses_stop = False

    def _declare_blocking(self, process: str, error: StageStoppedError) -> None:
        """Declare the agent so: from now on, it no longer blocks its process."""
        run = self._run
        is_frozen_often = any(fault is Fault.FREEZE for _, fault in run.scenario.events)
        if run.agents.blocked[process] < _LEAST_BLOCKS and not is_frozen_often:
            run.checker.complain(f"{process} stopped, and was not blocked so often: {error}")
        run.checker.checks["blocked"] += 1
        run.agents.blocks = False

    def _check_all_before(self, process: str, name: TopicPartition, offset: int) -> None:
        """Setting the offset past this place may skip no record before it."""
        checker = self._run.checker
        checker.checks["dead end"] += 1
        told = f"{process} ended at {name.topic}[{name.partition}]@{offset}"
        if unfinished := checker.unfinished_before(name, offset):
            checker.complain(f"{told}, before {unfinished} were finished")
        checker.finished.dead_end(process, name, offset)
