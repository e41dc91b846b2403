"""Exports the counters to Prometheus: metric families are built at each scrape."""

import asyncio
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from streamapp.clock import Clock
from streamapp.observability.definitions import BUILD_INFO
from streamapp.observability.exemplars import Exemplars
from streamapp.observability.families import add_value, family_of
from streamapp.observability.metric_readers import READERS, Scrape
from streamapp.observability.stage_definitions import STAGE_METRICS
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.version import VERSION


class StageCollector:
    """A Prometheus collector of the stages that run now.

    It reads numbers that the event loop writes, so call `collect` on that loop.

    Args:
        clock: the clock that the counters are written with.
        exemplars: traces that go with buckets of histograms; `None` where no traces are made.
    """

    def __init__(self, clock: Clock, exemplars: Exemplars | None = None) -> None:
        self._clock = clock
        self._exemplars = exemplars
        self._stages: dict[tuple[str, str], StageMetrics] = {}

    @property
    def stages(self) -> Sequence[StageMetrics]:
        """The stages that are exported, in the order in which they were added."""
        return tuple(self._stages.values())

    def add(self, metrics: StageMetrics) -> None:
        """Export this stage from now on.

        Raises:
            ValueError: a stage with the same pipeline and name is exported already; Prometheus
            refuses
                a scrape with a repeated series.
        """
        key = (metrics.pipeline, metrics.stage)
        if key in self._stages:
            raise ValueError(
                f"stage {metrics.stage!r} of pipeline {metrics.pipeline!r} is exported already; "
                "remove it first"
            )
        self._stages[key] = metrics

    def remove(self, metrics: StageMetrics) -> None:
        """Stop exporting this stage; does nothing if it is not exported."""
        key = (metrics.pipeline, metrics.stage)
        if self._stages.get(key) is metrics:
            del self._stages[key]

    def describe(self) -> Iterator[Metric]:
        """The families without samples, by which a registry checks names."""
        yield from (family_of(definition) for definition in (*STAGE_METRICS, BUILD_INFO))

    def collect(self) -> Iterator[Metric]:
        """The families with their current values."""
        scrape = Scrape(self._clock.monotonic(), self._clock.time())
        for definition in STAGE_METRICS:
            read = READERS[definition.name]
            family = family_of(definition)
            for metrics in self._stages.values():
                of_stage = (metrics.pipeline, metrics.stage)
                traces = self._exemplars
                known = traces.of(definition.name, *of_stage) if traces is not None else None
                for values, value in read(metrics, scrape):
                    add_value(family, definition, (*of_stage, *values), value, known)
            yield family
        build = family_of(BUILD_INFO)
        add_value(build, BUILD_INFO, (VERSION,), 1)
        yield build


class MetricsExporter:
    """The content of `/metrics`: stages, process, platform and garbage collector.

    Attributes:
        stages: collects the stages; add and remove them here.
        registry: process, platform and garbage collector metrics; not the global registry.
    """

    def __init__(self, clock: Clock, exemplars: Exemplars | None = None) -> None:
        self.stages = StageCollector(clock, exemplars)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for a scrape with this `Accept` header.

        The counters are read on the event loop that writes them, which runs other tasks after each
        family. A thread reads /proc and encodes. So a scrape of many stages does not delay the
        lanes.
        """
        encode, content_type = choose_encoder(accept)
        families = []
        for family in self.stages.collect():
            families.append(family)
            await asyncio.sleep(0)
        body = await asyncio.to_thread(encode, _Families(families, self.registry))
        return body, content_type


class _Families:
    """Families that were read earlier and a registry, in the form that the encoders take."""

    def __init__(self, families: Sequence[Metric], registry: CollectorRegistry) -> None:
        self._families = families
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        yield from self._families
        yield from self._registry.collect()
