"""Exit codes of the command line: what each means, and whether a restart can help.

All tables and units are made from here or held against it: docs/reference/exit-codes.md, the
supervisor of `run --workers`, and `RestartPreventExitStatus` of deploy/systemd.
"""

from enum import IntEnum, StrEnum
from typing import Self


class Restart(StrEnum):
    """Whether whatever watches a command should start it again."""

    AS_YOU_LIKE = "as you like"
    YES = "yes"
    LATER = "yes, with a delay"
    NO = "no"


class ExitCode(IntEnum):
    """What the exit code of a command means.

    Attributes:
        meaning: how the command ended.
        restart: whether to start it again.
    """

    meaning: str
    restart: Restart

    def __new__(cls, value: int, meaning: str, restart: Restart) -> Self:
        """A code with what is known of it."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        code.restart = restart
        return code

    OK = 0, "stopped by a signal, or reached the end", Restart.AS_YOU_LIKE
    FAILURE = 1, "a failure without a code of its own; `broker status`: none runs", Restart.YES
    USAGE = 2, "the command line is wrong", Restart.NO
    CONFIGURATION = (
        3,
        "a declaration, file, topic or setting does not fit; nothing was started",
        Restart.NO,
    )
    BROKER_UNREACHABLE = 4, "Kafka could not be reached, or refused a request", Restart.LATER
    STAGE_STOPPED = 5, "a record failed in a stage with the policy `stop`", Restart.NO
    DRAIN_TIMEOUT = (
        6,
        "work in flight did not end within the drain deadline; it is read again",
        Restart.YES,
    )
    PORT_IN_USE = 7, "another process has the web port", Restart.NO
    ABANDONED = (
        8,
        "a second signal ended it at once; what was in flight is read again",
        Restart.YES,
    )
    POSITION_LOST = (
        9,
        "a position is not in its log: retention has deleted records, or it is beyond the end",
        Restart.NO,
    )
    RECORD_UNREADABLE = 10, "a record of a source topic cannot be parsed", Restart.NO
    STAGE_RENAMED = (
        11,
        "a stage has no offsets and may have been renamed; nothing was started",
        Restart.NO,
    )
    EXECUTION_FAILED = (
        12,
        "at least one execution of `pipelines execute` has failed; stderr says which",
        Restart.NO,
    )
    EXECUTION_CANCELLED = 13, "a signal cancelled `pipelines execute`", Restart.AS_YOU_LIKE
    LETTERS_LEFT = (
        14,
        "`dlq replay`: letters could not be sent, or have failed again; stdout says which and why",
        Restart.NO,
    )
    LETTERS_WAITING = (
        15,
        "`dlq replay --wait`: the stages have not finished the letters within this time",
        Restart.AS_YOU_LIKE,
    )
    LETTERS_INTERRUPTED = (
        16,
        "a signal ended `dlq replay` or `dlq discard`; another call goes on behind what is done",
        Restart.AS_YOU_LIKE,
    )
    BUG = 70, "a bug in streamapp: please report it (EX_SOFTWARE)", Restart.YES


NOT_RESTARTED = tuple(code for code in ExitCode if code.restart is Restart.NO)
"""Exit codes after which the same command would fail again, until somebody acts."""
