"""Exit codes of the command line, by name."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit code of a command means."""

    OK = 0
    FAILURE = 1
    """A failure without a code of its own; for `broker status`: no broker runs."""

    USAGE = 2
    """The command line itself is wrong."""

    CONFIGURATION = 3
    """A file, declaration or option does not fit; nothing was started."""

    BROKER_UNREACHABLE = 4
    """Kafka could not be reached, or refused a request."""

    STAGE_STOPPED = 5
    """A record failed in a stage whose policy is `stop`."""

    DRAIN_TIMEOUT = 6
    """Work in flight did not finish within the drain deadline; it will be read again."""

    PORT_IN_USE = 7

    ABANDONED = 8
    """A second signal ended the command at once; what was in flight will be read again."""

    POSITION_LOST = 9
    """A position is not in its log: retention has deleted records, or it is beyond the end."""

    RECORD_UNREADABLE = 10
    """A record of a source topic cannot be parsed."""

    STAGE_RENAMED = 11
    """A stage has no offsets and may have been renamed; nothing was started."""

    EXECUTION_FAILED = 12
    """Of the executions in this process at least one has failed; standard error says which."""

    EXECUTION_CANCELLED = 13
    """A signal cancelled the executions in this process."""

    BUG = 70
    """A bug in this program: please report it (EX_SOFTWARE)."""
