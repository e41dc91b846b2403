"""Errors of the local Kafka; each message says what is wrong and what to do."""

from streamapp.errors import BrokerError

_LOG_LINES = 15


class DevBrokerError(BrokerError):
    """The local Kafka could not be started or stopped."""


class ToolMissingError(DevBrokerError):
    """Java or Maven is missing, or too old."""


class JarsError(DevBrokerError):
    """Kafka's jars could not be fetched."""


class FolderError(DevBrokerError):
    """The folder for state, data and logs cannot be used."""


class PortInUseError(DevBrokerError):
    """Another process listens on the port."""


class StartError(DevBrokerError):
    """Kafka ended, or did not become ready in time.

    The message ends with the last lines of the log, which give the reason, since the log itself may
    be removed. Frames of Java stack traces are left out.
    """

    def __init__(self, sentence: str, *, log: str) -> None:
        lines = [line for line in log.splitlines() if not line.lstrip().startswith("at ")]
        tail = "\n".join(f"    {line}" for line in lines[-_LOG_LINES:])
        super().__init__(f"{sentence} The end of its log:\n{tail}" if tail else sentence)
