"""What is kept of a run: who ran what, from when to when, and the figures of its stages."""

import os
import socket
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from streamapp.observability.stage_report import StageReport
from streamapp.status import PipelineStatus

REPORT_SECONDS = 10.0
"""How often a run that goes on is written."""

SILENT_SECONDS = 45.0
"""A run that has not been written for this long, and has no end, has stopped reporting."""


class PipelineEnd(BaseModel):
    """How a pipeline ended, and the class of the error that ended it."""

    model_config = ConfigDict(frozen=True)

    status: PipelineStatus
    error: str | None = None


class RunRecord(BaseModel):
    """A run of one process; it has no payloads, and no messages of errors.

    Attributes:
        version: of this record; fields of later versions are ignored.
        run_id: tells it from all others.
        command: what was run, such as `run` or `pipelines execute`.
        target: what was named on the command line.
        pipelines: names of the pipelines.
        started_at: when it began, in seconds since the epoch.
        reported_at: when this was written.
        ended_at: when it ended; `None` while it runs.
        status: how it ended, or `running`.
        error: class of the error that ended it.
        ends: how its pipelines ended, where some have failed and others have not.
        never_began: whether it ended before it could begin its work.
        pid, host: its process.
        supervisor: process id of its supervisor, if it has one.
        worker: its number there.
        instance_id: its name as a static member, if it has one.
        web_url: where it serves its status, if it does.
        stages: its stages.
        chains: the agents of assembled pipelines with their scores, and who has replaced whom.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    run_id: str
    command: str
    target: str
    pipelines: tuple[str, ...]
    started_at: float
    reported_at: float
    ended_at: float | None = None
    status: PipelineStatus = PipelineStatus.RUNNING
    error: str | None = None
    ends: Mapping[str, PipelineEnd] = Field(default_factory=dict)
    never_began: bool = False
    pid: int
    host: str
    supervisor: int | None = None
    worker: int | None = None
    instance_id: str | None = None
    web_url: str | None = None
    stages: tuple[StageReport, ...] = ()
    chains: tuple[dict[str, Any], ...] = ()

    def end_of(self, pipeline: str) -> PipelineEnd:
        """How one of its pipelines ended, or goes on."""
        return self.ends.get(pipeline) or PipelineEnd(status=self.status, error=self.error)

    def is_silent(self, now: float) -> bool:
        """Whether it has no end although its process is gone, or stands still."""
        if self.ended_at is not None:
            return False
        if self.host == this_host() and not _is_alive(self.pid):
            return True
        return now - self.reported_at > SILENT_SECONDS

    def is_running(self, now: float) -> bool:
        """Whether it goes on."""
        return self.ended_at is None and not self.is_silent(now)


def this_host() -> str:
    """Name of this machine: process ids mean something only there."""
    return socket.gethostname()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
