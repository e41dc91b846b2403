"""Drops objects whose key was seen lately."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from streamapp.agents.configuration import AgentConfiguration
from streamapp.agents.keys import KeyPath, remembered
from streamapp.agents.paths import OnePathText
from streamapp.agents.recent import Recent
from streamapp.clock import current_clock
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.context import Context
from streamapp.record import NO_OFFSET


class WithoutKey(StrEnum):
    """What becomes of an object without a key."""

    FAIL = "fail"  # it is the record's fault
    PASS_ON = "pass_on"  # noqa: S105 - no password: it passes, and is never a duplicate


class DeduplicatorConfiguration(AgentConfiguration):
    """Configuration of a `Deduplicator`.

    Attributes:
        key: path to the key: a text, a number or a boolean.
        window_seconds: how long a key is remembered after the object that has passed with it.
        max_keys: most keys that are remembered; beyond it the oldest are forgotten.
        without_key: what becomes of an object without a key.
    """

    key: OnePathText
    window_seconds: float = Field(default=3600.0, gt=0)
    max_keys: int = Field(default=100_000, ge=1)
    without_key: WithoutKey = WithoutKey.FAIL


class Deduplicator:
    """Drops objects whose key was seen lately, in this worker.

    It remembers in memory: another worker knows nothing of it, nor does the next run. Let the key
    be that of the records, so that its records come to the same worker. A record that is delivered
    or tried again passes, since it is not certain that its first output was written.

    Raises:
        Permanent: the key is missing, or a list or an object.
    """

    capabilities = (Capability.STREAM_PROCESSING,)
    Configuration = DeduplicatorConfiguration

    def __init__(self, configuration: DeduplicatorConfiguration) -> None:
        self._path = KeyPath(configuration.key)
        self._passes_without = configuration.without_key is WithoutKey.PASS_ON
        self._seen: Recent[tuple[str, int, int]] = Recent(
            configuration.max_keys, configuration.window_seconds
        )

    def __call__(self, value: dict[str, Any], context: Context) -> dict[str, Any] | None:
        """The object, or nothing."""
        key = self._path.key(value) if self._passes_without else self._path.required(value)
        if key is None:
            return value
        now = current_clock().monotonic()
        kept = remembered(key)
        record = (context.topic, context.partition, context.record.offset)
        first = self._seen.get(kept, now)
        if first is None:
            self._seen.put(kept, record, now)
        elif context.attempt == 1 and (first != record or record[2] == NO_OFFSET):
            return None
        return value
