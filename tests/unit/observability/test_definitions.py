from pathlib import Path

import pytest

from streamapp.observability.definitions import METRICS
from streamapp.observability.labels import LABELS, LabelSource
from streamapp.observability.metric_definition import MetricDefinition, MetricKind
from streamapp.observability.metrics_page import metrics_reference
from streamapp.observability.stage_metrics import DeadLetterReason, Outcome, StageState

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


def test_the_reference_page_is_the_table() -> None:
    assert REFERENCE.read_text() == metrics_reference(), (
        "regenerate: python -m streamapp.observability.metrics_page > docs/reference/metrics.md"
    )


def test_no_metric_is_defined_twice() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: MetricDefinition) -> None:
    assert metric.name.startswith("streamapp_")
    assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
    assert metric.name.removesuffix("_total").endswith(metric.unit)
    assert metric.help.endswith(".")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_labels_are_described_and_never_open_ended(metric: MetricDefinition) -> None:
    assert set(metric.labels) <= set(LABELS)
    assert ("version" in metric.labels) == (metric.name == "streamapp_build_info")


def test_closed_labels_list_every_value_the_code_has() -> None:
    assert LABELS["outcome"].values == tuple(Outcome)
    assert LABELS["reason"].values == tuple(DeadLetterReason)
    assert LABELS["state"].values == tuple(StageState)


@pytest.mark.parametrize("name", LABELS)
def test_a_label_lists_its_values_exactly_if_they_are_a_closed_set(name: str) -> None:
    label = LABELS[name]
    assert bool(label.values) == (label.source is LabelSource.CLOSED)


def test_every_label_is_used() -> None:
    assert {label for metric in METRICS for label in metric.labels} == set(LABELS)
