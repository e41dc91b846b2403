"""Expositions of several workers as one: every series gets the label of its worker.

A text in which a family comes twice is refused by Prometheus, so they are parsed and joined, not
put behind one another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from streamapp.observability.definitions import WORKER_METRICS, MetricDefinition, MetricKind
from streamapp.supervisor.slot import Slot

ACCEPT = "application/openmetrics-text; version=1.0.0"
"""What workers are asked for: unlike the older format, it names units."""


def parsed(text: str) -> list[Metric]:
    """The families of one worker.

    Raises:
        ValueError: it is not an exposition of OpenMetrics.
    """
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # untyped library


def merged(
    by_worker: Mapping[int, Iterable[Metric]], own: Iterable[Metric] = ()
) -> Sequence[Metric]:
    """One family for each name, with the series of all.

    Args:
        by_worker: families by the number of the worker, which becomes the label `worker`.
        own: families that stay as they are.
    """
    families: dict[str, Metric] = {}
    for number, found in sorted(by_worker.items()):
        for family in found:
            _add(families, family, {"worker": str(number)})
    for family in own:
        _add(families, family, {})
    return list(families.values())


def worker_families(slots: Sequence[Slot], answered: Mapping[int, object]) -> Iterator[Metric]:
    """The supervisor's own families: which workers answered, and how often each was restarted."""
    for definition in WORKER_METRICS:
        family = Metric(
            definition.name.removesuffix("_total"), definition.help, definition.kind, ""
        )
        for slot in slots:
            value = _READERS[definition.name](slot, slot.number in answered)
            labels = {"worker": str(slot.number)}
            family.samples.append(Sample(_sample_name(definition), labels, value))
        yield family


_READERS: Mapping[str, Callable[[Slot, bool], int]] = {
    "streamapp_worker_up": lambda _, answered: int(answered),
    "streamapp_worker_restarts_total": lambda slot, _: slot.restarts.count,
}
"""How each metric of the table is read from a worker's place."""


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
