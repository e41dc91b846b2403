"""What can go wrong with the development broker; each is one sentence and what to do."""

from streamapp.errors import BrokerError

_LOG_LINES = 15


class DevBrokerError(BrokerError):
    """The development broker could not be started or stopped."""


class ToolMissingError(DevBrokerError):
    """Java or Maven is missing, or too old."""


class JarsError(DevBrokerError):
    """Kafka's jars could not be fetched."""


class FolderError(DevBrokerError):
    """The folder for state, data and logs cannot be used."""


class PortInUseError(DevBrokerError):
    """Another process listens on the port that was asked for."""


class StartError(DevBrokerError):
    """Kafka ended, or did not become ready in time.

    The text goes on with the last lines of the log after the sentence: they are the reason, and
    the log itself may be removed by then. Frames of Java stack traces are left out.
    """

    def __init__(self, sentence: str, *, log: str) -> None:
        lines = [line for line in log.splitlines() if not line.lstrip().startswith("at ")]
        tail = "\n".join(f"    {line}" for line in lines[-_LOG_LINES:])
        super().__init__(f"{sentence} The end of its log:\n{tail}" if tail else sentence)
