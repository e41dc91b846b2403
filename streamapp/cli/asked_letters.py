"""Which dead letters a command is asked about: its options, read and checked."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin
from streamapp.cli.kafka import kafka_broker
from streamapp.cli.letter_options import EVERY_LETTER, LetterOptions
from streamapp.cli.loading import load_topologies
from streamapp.clock import SystemClock
from streamapp.errors import ConfigurationError, TopicError
from streamapp.letters.ledger import LetterState
from streamapp.letters.selection import Selection
from streamapp.pipeline.dead_letter_topics import DEAD_LETTERS_SUFFIX
from streamapp.pipeline.topology import Topology

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"(\d{1,6})([smhd])")
_BASE64 = "base64:"


@dataclass(frozen=True)
class Asked:
    """The dead letters that a command is asked about.

    Attributes:
        target: a pipeline or bundle; `None` for none.
        options: which letters.
        states: what was done with them; `None` means nothing yet.
    """

    target: str | None = None
    options: LetterOptions = EVERY_LETTER
    states: Sequence[LetterState] | None = None

    @cached_property
    def topologies(self) -> tuple[Topology, ...]:
        """The pipelines of the target.

        Raises:
            ConfigurationError: it is wrong.
        """
        return (
            ()
            if self.target is None
            else load_topologies(self.target, self.options.allow_package or ())
        )

    def broker(self) -> KafkaBroker:
        """The broker that has the letters.

        Raises:
            ConfigurationError: its address is wrong.
        """
        return kafka_broker(self.options.bootstrap_servers)

    def selection(self) -> Selection:
        """Which letters.

        Raises:
            ConfigurationError: an option cannot be read.
        """
        now_ms = int(SystemClock().time() * 1000)
        return Selection(
            pipelines=tuple(self.options.pipeline or ()),
            stages=tuple(self.options.stage or ()),
            reasons=tuple(self.options.reason or ()),
            fingerprints=tuple(self.options.fingerprint or ()),
            since_ms=milliseconds("--since", self.options.since, now_ms),
            until_ms=milliseconds("--until", self.options.until, now_ms),
            keys=tuple(map(_key, self.options.key or ())),
            headers=tuple(map(_header, self.options.header or ())),
        )

    def is_asked_for(self, state: LetterState) -> bool:
        """Whether letters with which this was done are meant."""
        return state in (self.states or (LetterState.OPEN,))

    async def dead_letter_topics(self, admin: Admin) -> list[str]:
        """The topics that are read: the named ones, else those of the target, else all there are.

        Raises:
            TopicError: a named one does not exist, or there are none at all.
        """
        existing = await admin.list_topics()
        if self.options.topic:
            for name in self.options.topic:
                if name not in existing:
                    raise TopicError(
                        f"there is no topic {name!r}; `streamapp topics list` shows those that"
                        " there are"
                    )
            return list(dict.fromkeys(self.options.topic))
        if self.target is None:
            found = sorted(name for name in existing if name.endswith(DEAD_LETTERS_SUFFIX))
        else:
            found = [name for name in self._declared_topics() if name in existing]
        if not found:
            raise TopicError(
                "there is no dead-letter topic: name one with --topic, or create those of a"
                " pipeline with `streamapp topics apply MODULE:PIPELINE`"
            )
        return found

    def _declared_topics(self) -> list[str]:
        """Dead-letter topics of the asked stages of the target, without repetition."""
        names = {
            step.dead_letters: None
            for topology in self.topologies
            for segment in topology.segments
            for step in segment.steps
            if not self.options.stage or step.stage.stage_id in self.options.stage
        }
        if not names:
            asked = " or ".join(map(repr, self.options.stage or ()))
            raise ConfigurationError(
                f"{self.target} has no stage {asked}; a stage that is not declared any more has its"
                " letters in a topic: name it with --topic"
            )
        return list(names)


def milliseconds(option: str, given: str | None, now_ms: int) -> int | None:
    """A time as milliseconds since the epoch; `None` if none was given.

    Args:
        option: name of the option, for the error.
        given: a time in ISO 8601, UTC unless it says otherwise; or how long ago, such as `2h`.
        now_ms: milliseconds since the epoch.

    Raises:
        ConfigurationError: it is neither.
    """
    if given is None:
        return None
    if ago := _AGO.fullmatch(given):
        return now_ms - int(ago[1]) * _SECONDS[ago[2]] * 1000
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise ConfigurationError(
            f"{option} is {given!r}: give a time such as 2026-11-28T10:00Z, or how long ago, such"
            " as 30m, 2h or 7d"
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _key(given: str) -> bytes:
    if not given.startswith(_BASE64):
        return given.encode()
    try:
        return base64.b64decode(given.removeprefix(_BASE64), validate=True)
    except binascii.Error as error:
        raise ConfigurationError(f"--key {given!r} is no base64: {error}") from None


def _header(given: str) -> tuple[str, bytes | None]:
    name, equals, content = given.partition("=")
    return name, content.encode() if equals else None
