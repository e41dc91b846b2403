"""Exit codes of the command line, by name."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code says."""

    OK = 0
    FAILURE = 1
    """Something went wrong that has no code of its own; `broker status`: nothing runs."""

    USAGE = 2
    """The command line itself is wrong."""

    CONFIGURATION = 3
    """A file, declaration or option does not fit; nothing was started."""

    BROKER_UNREACHABLE = 4
    """Kafka could not be reached, or refused what was asked."""

    STAGE_STOPPED = 5
    """A record failed in a stage whose policy is `stop`."""

    DRAIN_TIMEOUT = 6
    """Work in flight did not finish within the drain deadline; it will be delivered again."""

    PORT_IN_USE = 7

    ABANDONED = 8
    """A second signal ended it at once; what was in flight will be delivered again."""

    POSITION_LOST = 9
    """Kafka has deleted the records that come next: retention was faster."""

    RECORD_UNREADABLE = 10
    """A record of a source topic cannot be parsed."""

    STAGE_RENAMED = 11
    """A stage has no offsets and may be one that had another name; nothing was started."""

    BUG = 70
    """Something that this program does not foresee: please report it (EX_SOFTWARE)."""
