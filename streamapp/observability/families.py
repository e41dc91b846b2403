"""Families of metrics in the form of the Prometheus client, made of definitions and values."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar, Sample

from streamapp.observability.histogram import Histogram
from streamapp.observability.metric_definition import MetricDefinition, MetricKind


def family_of(definition: MetricDefinition) -> Metric:
    """The family of a metric, without samples."""
    name = definition.name.removesuffix("_total")
    # OpenMetrics: the unit must be the suffix of the family's name, or be left out.
    unit = definition.unit if name.endswith(f"_{definition.unit}") else ""
    return Metric(name, definition.help, definition.kind, unit)


def add_value(
    family: Metric,
    definition: MetricDefinition,
    label_values: tuple[str, ...],
    value: float | Histogram,
    exemplars: Mapping[int, Exemplar] | None = None,
) -> None:
    """Add a value to the family of its metric.

    Args:
        family: the family.
        definition: the metric.
        label_values: one for each label of the metric, in their order.
        value: a number, or of a histogram all its buckets.
        exemplars: traces that go with buckets of a histogram, by their index.
    """
    labels = dict(zip(definition.labels, label_values, strict=True))
    if isinstance(value, Histogram):
        family.samples.extend(_histogram_samples(family.name, labels, value, exemplars or {}))
        return
    suffix = "_total" if definition.kind is MetricKind.COUNTER else ""
    family.samples.append(Sample(family.name + suffix, labels, value))


def _histogram_samples(
    name: str, labels: dict[str, str], histogram: Histogram, exemplars: Mapping[int, Exemplar]
) -> Iterator[Sample]:
    count = 0
    # 12 digits: what binary fractions add to 0.000015 is noise, and part of the series' name.
    bounds = [repr(float(f"{b:.12g}")) for b in histogram.upper_bounds_seconds()]
    for i, (bound, observations) in enumerate(
        zip((*bounds, "+Inf"), histogram.counts, strict=True)
    ):
        count += observations
        # A trace is told before its attempt is counted, so a bucket may still be empty.
        exemplar = exemplars.get(i) if observations else None
        yield Sample(f"{name}_bucket", {**labels, "le": bound}, count, None, exemplar)
    yield Sample(f"{name}_count", labels, count)
    yield Sample(f"{name}_sum", labels, histogram.total * histogram.unit_seconds)
