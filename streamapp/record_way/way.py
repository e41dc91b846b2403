"""The way of a record, as it was found."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamapp.letters.ledger import LedgerEntry
from streamapp.record_way.found import Found
from streamapp.record_way.links import Link
from streamapp.record_way.neighbours import Neighbour, Role
from streamapp.record_way.progress import Progress, Standing


@dataclass(slots=True)
class Stop:
    """A record on its way, and the stages that read it.

    Attributes:
        found: the record.
        visits: what each stage did with it.
    """

    found: Found
    visits: list["Visit"] = field(default_factory=list)


@dataclass(slots=True)
class Output:
    """What a stage has made of a record.

    Attributes:
        link: the record that it has written, and how certain it is that this is it.
        stage: the stage.
        stop: where that record went on.
    """

    link: Link
    stage: str
    stop: Stop


@dataclass(slots=True)
class Return:
    """A record that comes back to its stage, to be tried again.

    Attributes:
        neighbour: the stage, and whether it is a retry or a replay.
        found: the record in the retry topic or the replay topic.
        due_at: when it is due, in seconds since the epoch; `None` for a replay.
        progress: whether the stage has finished it.
    """

    neighbour: Neighbour
    found: Found
    due_at: float | None
    progress: Progress


@dataclass(slots=True)
class LetterStop:
    """A dead letter of a record.

    Attributes:
        stage: the stage that gave it up.
        stop: the dead letter, and what reads its topic.
        entry: what was done with it.
    """

    stage: str
    stop: Stop
    entry: LedgerEntry


@dataclass(slots=True)
class Visit:
    """What a stage, with those that are fused to it, did with a record.

    Attributes:
        pipeline: its pipeline.
        stages: names of the stage and of those that are fused to it.
        has_outputs: whether it writes outputs to a topic.
        progress: how far its group is.
        outputs: what it has written.
        others: records of the same time in its output topics that have another key.
        returns: retries and replays, in the order of their topics.
        letters: dead letters.
        unread: topics of it that were not looked through, with offsets that are left.
        trimmed: topics of it that have deleted records which may have been it.
        missing: topics of it that do not exist.
    """

    pipeline: str
    stages: Sequence[str]
    has_outputs: bool
    progress: Progress
    outputs: list[Output] = field(default_factory=list)
    others: int = 0
    returns: list[Return] = field(default_factory=list)
    letters: list[LetterStop] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    trimmed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def finished_replays(self) -> int:
        """How many replays the stage has finished."""
        return sum(
            one.neighbour.role is Role.REPLAY and one.progress.standing is Standing.FINISHED
            for one in self.returns
        )

    @property
    def is_given_up(self) -> bool:
        """Whether it ended as a dead letter, and nothing has come of that since."""
        return len(self.letters) > self.finished_replays


@dataclass(slots=True)
class Way:
    """The way of a record.

    Attributes:
        asked: the record that was asked for.
        origins: of what it was made: one after the other, the nearest first; several beside each
            other where it is not known which.
        start: the record with which the way begins.
        unread: offsets that were not looked at because of the bounds, by topic.
        broken: partitions that were not read to their end, because a record cannot be parsed.
    """

    asked: Found
    origins: list[list[Link]]
    start: Stop
    unread: dict[str, int]
    broken: list[str]
