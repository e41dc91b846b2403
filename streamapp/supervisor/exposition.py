"""Joins the metrics of several workers; every series gets the label `worker`.

Prometheus refuses a text that names a metric family twice, so the texts are parsed and joined
family by family.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from streamapp.observability.definitions import WORKER_METRICS
from streamapp.observability.metric_definition import MetricDefinition, MetricKind
from streamapp.supervisor.findings import worker_findings
from streamapp.supervisor.slot import Slot, SlotState

ACCEPT = "application/openmetrics-text; version=1.0.0"
"""Format requested from workers; unlike the older format, it has the units."""


def parse_families(text: str) -> list[Metric]:
    """Parse the metric families of one worker.

    Raises:
        ValueError: the text is not in the OpenMetrics format.
    """
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # untyped library


def join_families(
    by_worker: Mapping[int, Iterable[Metric]], own: Iterable[Metric] = ()
) -> Sequence[Metric]:
    """One family for each name, with the series of all workers.

    Args:
        by_worker: families by the number of the worker, which becomes the label `worker`.
        own: families of this process, which get no label.
    """
    families: dict[str, Metric] = {}
    for number, found in sorted(by_worker.items()):
        for family in found:
            _add(families, family, {"worker": str(number)})
    for family in own:
        _add(families, family, {})
    return list(families.values())


def worker_families(
    slots: Sequence[Slot], answered: Mapping[int, object], now: float
) -> Iterator[Metric]:
    """The supervisor's own families: which workers answered, restarts, and what is wrong.

    Args:
        slots: the workers.
        answered: the numbers of those that have answered.
        now: monotonic seconds.

    A worker that has reached its end is neither up nor down, so it has no series that says so.
    """
    for definition in WORKER_METRICS:
        family = Metric(
            definition.name.removesuffix("_total"), definition.help, definition.kind, ""
        )
        for slot in slots:
            for labels, value in _READERS[definition.name](slot, slot.number in answered, now):
                of_worker = {"worker": str(slot.number), **labels}
                family.samples.append(Sample(_sample_name(definition), of_worker, value))
        yield family


def _up(slot: Slot, answered: bool, _now: float) -> Iterator[tuple[dict[str, str], int]]:
    if slot.state is not SlotState.ENDED or slot.exit_code:
        yield {}, int(answered)


def _causes(slot: Slot, _answered: bool, now: float) -> Iterator[tuple[dict[str, str], int]]:
    for found in worker_findings([slot], now, 0.0):
        yield {"cause": found.cause}, 1


_READERS: Mapping[str, Callable[[Slot, bool, float], Iterable[tuple[dict[str, str], int]]]] = {
    "streamapp_worker_up": _up,
    "streamapp_worker_restarts_total": lambda slot, _answered, _now: (({}, slot.restarts.count),),
    "streamapp_worker_cause": _causes,
}
"""Reads each metric of the table from a slot and from whether its worker answered, at a time."""


def _sample_name(definition: MetricDefinition) -> str:
    base = definition.name.removesuffix("_total")
    return f"{base}_total" if definition.kind is MetricKind.COUNTER else base


def _add(families: dict[str, Metric], family: Metric, labels: Mapping[str, str]) -> None:
    joined = families.setdefault(
        family.name, Metric(family.name, family.documentation, family.type, family.unit)
    )
    joined.samples.extend(
        sample._replace(labels={**labels, **sample.labels}) for sample in family.samples
    )
