"""Writes the record of a run: at its begin, every few seconds, and at its end."""

import asyncio
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from streamapp.clock import Clock
from streamapp.observability.stage_report import StatusReport
from streamapp.runs.folder import RunFolder
from streamapp.runs.record import REPORT_SECONDS, PipelineEnd, RunRecord, this_host
from streamapp.status import PipelineStatus

log = logging.getLogger(__name__)


class RunRecorder:
    """The record of this run, in a folder.

    A folder that cannot be written is warned of once, and harms nothing.

    Args:
        folder: where it is written.
        clock: the time.
        report: returns what is known of the stages now; called on the event loop.
        days: for how long records are kept.
        failed: returns the class of the error of each pipeline that has failed, by its name; none
            if all have failed alike.
        about: further fields of the record.

    Attributes:
        about: fields of the record that become known while it runs, such as `web_url`.
    """

    def __init__(
        self,
        folder: RunFolder,
        clock: Clock,
        report: Callable[[], StatusReport],
        *,
        days: float,
        failed: Callable[[], Mapping[str, str]] = dict,
        **about: Any,
    ) -> None:
        self.about = about
        self._folder = folder
        self._clock = clock
        self._report = report
        self._days = days
        self._failed = failed
        self._cancelled: Callable[[], bool] = bool
        self._run_id = uuid.uuid4().hex[:12]
        self._started_at = clock.time()
        self._is_told = False
        self._has_begun = self._has_ended = False
        self._writes = threading.Lock()

    @contextmanager
    def recording(self, cancelled: Callable[[], bool] = bool) -> Iterator[None]:
        """Record the begin and the end of the block, and the error that ends it.

        Args:
            cancelled: whether it has not come to its own end, asked where no error has ended it.
        """
        self._cancelled = cancelled
        self._write(self._record())
        self._try(lambda: self._folder.remove_old(self._clock.time(), self._days))
        try:
            yield
        except asyncio.CancelledError:
            self.end(PipelineStatus.CANCELLED)
            raise
        except BaseException as error:
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            self.end(PipelineStatus.FAILED, type(error).__qualname__)
            raise
        self.end(PipelineStatus.CANCELLED if cancelled() else PipelineStatus.SUCCESS)

    def begin(self) -> None:
        """Note that the work begins: all that is needed is there."""
        self._has_begun = True

    def end(self, status: PipelineStatus, error: str | None = None) -> None:
        """Write how the run ended; only the first end counts."""
        if not self._has_ended:
            self._has_ended = True
            now = self._clock.time()
            ends = self._ends() if status is PipelineStatus.FAILED else {}
            never_began = not self._has_begun
            fields = {"status": status, "error": error, "ends": ends, "never_began": never_began}
            self._write(self._record(ended_at=now, **fields))

    def _ends(self) -> dict[str, PipelineEnd]:
        """How each pipeline ended, where some have failed."""
        failed = self._failed()
        well = PipelineStatus.CANCELLED if self._cancelled() else PipelineStatus.SUCCESS
        return {
            name: PipelineEnd(status=PipelineStatus.FAILED, error=failed[name])
            if name in failed
            else PipelineEnd(status=well)
            for name in (self.about["pipelines"] if failed else ())
        }

    async def report_on(self) -> None:
        """Write the record at times, in another thread, until cancelled."""
        while True:
            await asyncio.to_thread(self._write, self._record())
            await self._clock.sleep(REPORT_SECONDS)

    def _record(self, **fields: Any) -> RunRecord:
        report = self._report()
        return RunRecord(
            run_id=self._run_id,
            started_at=self._started_at,
            reported_at=self._clock.time(),
            pid=os.getpid(),
            host=this_host(),
            stages=report.stages,
            chains=report.chains,
            **{**self.about, **fields},
        )

    def _write(self, record: RunRecord) -> None:
        def write() -> None:
            with self._writes:
                if record.ended_at is not None or not self._has_ended:  # a thread may come late
                    self._folder.write(record)

        self._try(write)

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                told = error.strerror or error
                log.warning(
                    "this run is not kept for `streamapp status`: %s: %s", self._folder.path, told
                )
