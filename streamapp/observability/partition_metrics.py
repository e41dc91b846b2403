"""State of one assigned partition, and why no more records of it are taken."""

from dataclasses import dataclass
from enum import StrEnum


class Pause(StrEnum):
    """Why no more records of a partition are taken for now."""

    BEHIND_ONE = "behind_one"  # many records are finished behind one that is not
    END = "end"  # a policy has said stop at one of its records
    POSITION_LOST = "position_lost"  # its next record is not in the log
    KEY_BACKLOG = "key_backlog"  # too many of its records wait behind failing ones of their keys


@dataclass(slots=True)
class PartitionMetrics:
    """State of one assigned partition; removed when the partition is revoked.

    Attributes:
        lag_records: records between the commit frontier and the end offset; `None` until known.
        oldest_timestamp_seconds: timestamp of the first unfinished record, in seconds since the
            epoch; `None` without lag.
        retention_left_seconds: until the first unfinished record is deleted by its topic; `None`
            without lag, or if the topic keeps it for ever.
        pause: why no more records of it are taken for now; `None` while they are.
        committed_offset: the offset that was last committed; `None` until one is.
        committed_at: monotonic seconds of that commit.
        last_progress_at: monotonic seconds when a record of it last finished or lag appeared;
            written through `progress.ProgressWatch`; `None` before it.
        retry_due_at: monotonic seconds of the next attempt on a record of it that waits in process,
            or of what was the next one, the latest of them; `None` if none ever waited.
        waits_until: of a retry topic, monotonic seconds when its first unfinished record is due, or
            was; `None` if it never waited.
    """

    lag_records: int | None = None
    oldest_timestamp_seconds: float | None = None
    pause: Pause | None = None
    committed_offset: int | None = None
    committed_at: float | None = None
    last_progress_at: float | None = None
    waits_until: float | None = None
    retry_due_at: float | None = None
    retention_left_seconds: float | None = None

    @property
    def blocked(self) -> bool:
        """Whether no more records of it are taken for now."""
        return self.pause is not None

    @property
    def due_at(self) -> float | None:
        """Monotonic seconds until when it is known that records wait; `None` if none ever did."""
        known = [at for at in (self.waits_until, self.retry_due_at) if at is not None]
        return max(known, default=None)

    def lag_seconds(self, wall: float) -> float | None:
        """Age of the first unfinished record at a time in seconds since the epoch.

        Zero without lag; `None` while the lag, or the time of that record, is unknown. Clocks of
        producers may be ahead of ours, so a negative age counts as zero.
        """
        if self.lag_records == 0:
            return 0.0
        if self.lag_records is None or self.oldest_timestamp_seconds is None:
            return None
        return max(0.0, wall - self.oldest_timestamp_seconds)

    def is_waiting(self, now: float) -> bool:
        """Whether its lag is no reason to worry, because its records are not due."""
        return self.waits_until is not None and now < self.waits_until
