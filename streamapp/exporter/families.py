"""What Kafka says of stages, as metrics."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamapp.clock import Clock
from streamapp.exporter.snapshot import LettersOfStages, PartitionLag, Snapshot
from streamapp.exporter.watch import OutsideWatch
from streamapp.observability.causes import Cause
from streamapp.observability.definitions import OUTSIDE_METRICS
from streamapp.observability.families import add_value, family_of
from streamapp.observability.open_letters import OpenLetters
from streamapp.observability.stage_definitions import STAGE_METRICS

UNREAD_SECONDS = 300.0
"""A stage with lag whose group has no member for so long does not run: longer than a restart."""

_Values = Iterable[tuple[tuple[str, ...], float]]


class OutsideCollector(Collector):
    """A Prometheus collector of what an exporter knows of stages.

    Args:
        watch: knows it.
        clock: the time.
    """

    def __init__(self, watch: OutsideWatch, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """The families with their current values; none of which nothing is known."""
        now, found, letters = self._clock.monotonic(), self._watch.snapshot(), self._watch.letters()
        values: Mapping[str, _Values] = {
            "streamapp_exporter_kafka_up": [((), int(found is not None))],
            **(_of_groups(found, now) if found is not None else {}),
            "streamapp_stage_cause": _causes(found, letters, now),
            **_of_letters(letters, now),
        }
        for definition in (*STAGE_METRICS, *OUTSIDE_METRICS):
            if definition.name in values:
                family = family_of(definition)
                for labels, value in values[definition.name]:
                    add_value(family, definition, labels, value)
                if family.samples:
                    yield family


class OutsideExporter:
    """The content of `/metrics` of an exporter: stages, process, platform and garbage collector.

    Args:
        watch: knows of the stages.
        clock: the time.
    """

    def __init__(self, watch: OutsideWatch, clock: Clock) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(OutsideCollector(watch, clock))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for a scrape with this `Accept` header."""
        encode, content_type = choose_encoder(accept)
        # What it reads is replaced as a whole, never changed, so a thread may read it.
        return await asyncio.to_thread(encode, self._registry), content_type


def _of_groups(found: Snapshot, now: float) -> Mapping[str, _Values]:
    return {
        "streamapp_group_lag_records": _each(found, lambda one: one.records),
        "streamapp_group_lag_seconds": _each(found, lambda one: one.seconds(now)),
        "streamapp_group_retention_left_seconds": _each(
            found, lambda one: one.retention_left_seconds(now)
        ),
        "streamapp_group_members": list(found.members.items()),
    }


def _each(found: Snapshot, read: Callable[[PartitionLag], float | None]) -> _Values:
    for one in found.lags:
        if (value := read(one)) is not None:
            yield (*one.stage, one.place.topic, str(one.place.partition)), value


def _causes(found: Snapshot | None, letters: LettersOfStages, now: float) -> _Values:
    """What is wrong with stages, as far as it can be seen from outside."""
    for stage, since in () if found is None else found.unread_since.items():
        if now - since >= UNREAD_SECONDS:
            yield (*stage, Cause.NOT_RUNNING), 1
    for stage, one in letters.items():
        if one.is_expiring(now):
            yield (*stage, Cause.LETTERS_EXPIRING), 1


def _of_letters(letters: LettersOfStages, now: float) -> Mapping[str, _Values]:
    readers: Mapping[str, Callable[[OpenLetters], float | None]] = {
        "streamapp_dead_letter_depth_records": lambda one: one.count,
        "streamapp_dead_letter_oldest_age_seconds": lambda one: one.age_seconds(now),
        "streamapp_dead_letter_expiry_seconds": lambda one: one.seconds_left(now),
    }
    return {name: _letters(letters, read) for name, read in readers.items()}


def _letters(letters: LettersOfStages, read: Callable[[OpenLetters], float | None]) -> _Values:
    for stage, one in letters.items():
        if (value := read(one)) is not None:
            yield (*stage, one.topic), value
