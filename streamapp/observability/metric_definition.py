"""What is said of a metric: its name, its Prometheus type, its unit, its labels and its meaning."""

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric.

    Attributes:
        name: name as it is exported and queried, counters with `_total`.
        kind: counter, gauge or histogram.
        unit: base unit, the end of the name; empty for a plain 0 or 1.
        labels: names of its labels, in the order in which the exporter gives their values.
        help: one sentence for operators.
    """

    name: str
    kind: MetricKind
    unit: str
    labels: tuple[str, ...]
    help: str


STAGE_LABELS = ("pipeline", "stage")
_PARTITION_LABELS = (*STAGE_LABELS, "topic", "partition")


def counter(name: str, unit: str, help_: str, *labels: str) -> MetricDefinition:
    """A counter of a stage, with more labels than pipeline and stage where they are given."""
    return MetricDefinition(name, MetricKind.COUNTER, unit, (*STAGE_LABELS, *labels), help_)


def gauge(name: str, unit: str, help_: str, *labels: str) -> MetricDefinition:
    """A gauge of a stage, with more labels than pipeline and stage where they are given."""
    return MetricDefinition(name, MetricKind.GAUGE, unit, (*STAGE_LABELS, *labels), help_)


def partition_gauge(name: str, unit: str, help_: str) -> MetricDefinition:
    """A gauge of a partition that a stage reads."""
    return MetricDefinition(name, MetricKind.GAUGE, unit, _PARTITION_LABELS, help_)


def histogram(name: str, unit: str, help_: str) -> MetricDefinition:
    """A histogram of a stage."""
    return MetricDefinition(name, MetricKind.HISTOGRAM, unit, STAGE_LABELS, help_)
