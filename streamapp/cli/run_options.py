"""The options of `streamapp run`, and the command line that passes them to a worker."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

from streamapp.configuration.names import PACKAGES_OPTION
from streamapp.errors import ConfigurationError
from streamapp.observability.logs import LogFormat
from streamapp.runtime.config import RuntimeConfig

_INSTANCE_ID = re.compile(r"[a-zA-Z0-9._-]{1,240}")
"""Names that Kafka accepts, short enough to append the number of a worker."""


START_SECONDS = 300.0
"""Loading models and opening agents takes less."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `streamapp run`.

    Attributes:
        target: `module:pipeline`, or `file.json#name`.
        packages: packages that a configuration file may import from, beside those that the
            environment allows.
        bootstrap_servers: Kafka's address; `None` if the option is not given.
        stages: the stages to run; all if empty.
        instance_id: name as a static member; with several workers, the beginning of their names.
        session_seconds: session timeout of the consumer groups.
        yes: whether stages without offsets start at the beginning, even if Kafka has offsets of
            stages that are not declared.
        until_end: whether to stop at the end offsets of the start.
        web_port: port of metrics, health and status; `None` serves none.
        log_level, log_format: level and format of the log.
        progress_seconds: time between lines of progress.
        drain_seconds: drain deadline.
        web_host: address of the web server; that of a worker of several is 127.0.0.1.
        web_open: whether probes and scrapes need no token.
        start_seconds: a worker of several that is not up for so long is started again.
        stall_seconds: a stage that has lag and finishes no record for so long is stalled.

    Raises:
        ConfigurationError: Kafka does not accept `instance_id`.
    """

    target: str
    packages: tuple[str, ...]
    bootstrap_servers: str | None
    stages: tuple[str, ...]
    instance_id: str | None
    session_seconds: float
    yes: bool
    until_end: bool
    web_port: int | None
    log_level: str
    log_format: LogFormat
    progress_seconds: float
    drain_seconds: float
    web_host: str = "127.0.0.1"
    web_open: bool = False
    start_seconds: float = START_SECONDS
    stall_seconds: float = RuntimeConfig().stall_after_seconds

    def __post_init__(self) -> None:
        if self.instance_id is not None and not _INSTANCE_ID.fullmatch(self.instance_id):
            raise ConfigurationError(
                f"--instance-id {self.instance_id!r} is not a legal name of a static member;"
                " use 1 to 240 of the characters a-z, A-Z, 0-9, '.', '_' and '-'"
            )

    @property
    def topics_command(self) -> str:
        """The command line that creates the topics of the target, for a shell."""
        target = self.target
        # Within a word, # is a character like any other, and quotes around it would only confuse.
        if quote(target.replace("#", "")) != target.replace("#", ""):
            target = quote(target)
        arguments = [f"{PACKAGES_OPTION} {quote(package)}" for package in self.packages]
        if self.bootstrap_servers is not None:
            arguments.append(f"--bootstrap-servers {quote(self.bootstrap_servers)}")
        return " ".join(["streamapp topics apply", target, *arguments])

    def worker_command(self, number: int) -> tuple[str, ...]:
        """The command line of one of several workers: the same options, on any free port."""
        return (sys.executable, "-m", "streamapp", "run", self.target, *self._arguments(number))

    def _arguments(self, number: int) -> Iterator[str]:
        for package in self.packages:
            yield f"{PACKAGES_OPTION}={package}"
        if self.bootstrap_servers is not None:
            yield f"--bootstrap-servers={self.bootstrap_servers}"
        for stage in self.stages:
            yield f"--stage={stage}"
        if self.instance_id is not None:
            yield f"--instance-id={self.instance_id}-{number}"
        yield f"--session-seconds={self.session_seconds}"
        yield f"--stall-seconds={self.stall_seconds}"
        if self.yes:
            yield "--yes"
        if self.until_end:
            yield "--until-end"
        # Whatever the environment says: the supervisor asks its workers on this machine.
        yield "--web-host=127.0.0.1"
        yield "--no-web" if self.web_port is None else "--web-port=0"
        yield f"--log-level={self.log_level}"
        yield f"--log-format={self.log_format.value}"
        yield f"--progress-seconds={self.progress_seconds}"
        yield f"--drain-seconds={self.drain_seconds}"
