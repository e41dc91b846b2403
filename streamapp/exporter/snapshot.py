"""What Kafka said of stages at one moment, without any worker being asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamapp.observability.open_letters import OpenLetters
from streamapp.record import TopicPartition

StageName = tuple[str, str]
"""Pipeline and stage."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far the group of a stage is behind in one partition.

    Attributes:
        stage: the stage that reads it.
        place: topic and partition.
        records: records between the committed offset and the end, as far as they are not deleted.
        unread_since: monotonic seconds at which the first of them came, as far as that was seen,
            else at its timestamp; `None` without any, or if that is not known.
        retention_seconds: how long the topic keeps records; `None` for ever.
    """

    stage: StageName
    place: TopicPartition
    records: int
    unread_since: float | None = None
    retention_seconds: float | None = None

    def seconds(self, now: float) -> float | None:
        """Age of the first record that is not read; 0 without any, `None` if unknown."""
        if not self.records:
            return 0.0
        return None if self.unread_since is None else max(0.0, now - self.unread_since)

    def retention_left_seconds(self, now: float) -> float | None:
        """Seconds until it is deleted; `None` without any, if never, or if that is not known."""
        age = self.seconds(now)
        if not self.records or age is None or self.retention_seconds is None:
            return None
        return max(0.0, self.retention_seconds - age)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found.

    Attributes:
        at: monotonic seconds at which it was.
        lags: the partitions that stages read, where their lag is known.
        members: how many members the group of each stage has.
        unread_since: monotonic seconds since when each stage has lag and its group no member, of
            those of which that is so.
    """

    at: float
    lags: tuple[PartitionLag, ...]
    members: Mapping[StageName, int]
    unread_since: Mapping[StageName, float] = field(default_factory=dict)

    def behind(self, stage: StageName) -> int:
        """Records that wait for a stage, in all its topics."""
        return sum(one.records for one in self.lags if one.stage == stage)


LettersOfStages = Mapping[StageName, OpenLetters]
"""The open dead letters of stages, of those where they are known."""
