"""The topics that the first stage reads: one, several, or those that match a pattern."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern

SOURCE = "sim.source"
LATER = "sim.in.b"
"""A topic that appears during the run, and matches."""

PATTERN = r"sim\.in\.[a-z]+"

_ONE = 0.75
_LATER_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class SourcesDraw:
    """What the first stage reads.

    Attributes:
        named: topics that it names.
        matching: topics that match its pattern, and exist when the run begins.
        later: one that matches and appears during the run; `None` if there is none.
        appears_at: when, in seconds since the start of the run.
        later_share: share of the records that are written to that one.
        check_seconds: how often workers look for topics that match.
    """

    named: tuple[str, ...]
    matching: tuple[str, ...] = ()
    later: str | None = None
    appears_at: float = 0.0
    later_share: float = 0.0
    check_seconds: float = 10.0

    @property
    def at_first(self) -> tuple[str, ...]:
        """The topics that exist when the run begins."""
        return self.named + self.matching

    @property
    def all(self) -> tuple[str, ...]:
        """The topics that exist when it ends."""
        return self.at_first if self.later is None else (*self.at_first, self.later)

    def declared(self) -> Sequence[Topic[str] | TopicPattern[str]]:
        """The same as a user declares it."""
        topics: list[Topic[str] | TopicPattern[str]] = [Topic(name, str) for name in self.named]
        return topics if self.later is None else [*topics, TopicPattern(PATTERN, str)]


ONE_SOURCE = SourcesDraw((SOURCE,))


def draw_sources(seed: int, seconds: float) -> SourcesDraw | None:
    """Several topics, or `None` for one.

    Drawn apart from the rest: all other draws of a seed stay what they were.
    """
    rng = random.Random(f"sources {seed}")
    if rng.random() < _ONE:
        return None
    named, has_pattern = rng.choice(
        (((SOURCE, "sim.more"), False), ((SOURCE,), True), ((SOURCE,), True), ((), True))
    )
    matching = rng.choice(((), ("sim.in.a",), ("sim.in.a", "sim.in.c")))
    appears_at, check_seconds = rng.uniform(0.1, 0.7) * seconds, rng.choice((0.5, 2.0))
    if not has_pattern:
        return SourcesDraw(named)
    share = _LATER_SHARE if named or matching else 1.0
    return SourcesDraw(named, matching, LATER, appears_at, share, check_seconds)
