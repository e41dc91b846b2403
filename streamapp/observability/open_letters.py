"""The dead letters of a stage that wait for somebody: how many, since when, and how long yet."""

from dataclasses import dataclass

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class OpenLetters:
    """What lies in a dead-letter topic, and was neither replayed nor discarded.

    Attributes:
        topic: name of the topic.
        count: how many there are.
        oldest_at: monotonic seconds at the timestamp of the one that retention will delete first;
            `None` without any, or if it has none.
        retention_seconds: age at which the topic deletes records; `None` if it never does.
    """

    topic: str
    count: int
    oldest_at: float | None = None
    retention_seconds: float | None = None

    def age_seconds(self, now: float) -> float | None:
        """Age of the oldest at a time in monotonic seconds; 0 without any, `None` if unknown."""
        if not self.count:
            return 0.0
        return None if self.oldest_at is None else max(0.0, now - self.oldest_at)

    @property
    def expires_at(self) -> float | None:
        """When the oldest may be deleted, in monotonic seconds; `None` if never or unknown.

        Kafka deletes whole segments of the log, so a letter may live longer, but not less long.
        """
        if not self.count or self.oldest_at is None or self.retention_seconds is None:
            return None
        return self.oldest_at + self.retention_seconds

    def seconds_left(self, now: float) -> float | None:
        """Seconds until then."""
        at = self.expires_at
        return None if at is None else max(0.0, at - now)

    def is_expiring(self, now: float) -> bool:
        """Whether so little time is left that somebody should look: a day, or a tenth of it all.

        Of a topic that keeps records for less than two days, the day would be too much of it: then
        it is the half.
        """
        kept, left = self.retention_seconds, self.seconds_left(now)
        if kept is None or left is None:
            return False
        return left < max(0.1 * kept, min(DAY_SECONDS, 0.5 * kept))
