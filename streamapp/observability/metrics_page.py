"""Prints the reference page of metrics: `python -m streamapp.observability.metrics_page`."""

import sys
from collections.abc import Iterable

from streamapp.observability.definitions import METRICS
from streamapp.observability.labels import LABELS, Label


def metrics_reference() -> str:
    """The reference page, docs/reference/metrics.md, as Markdown."""
    lines = [
        "# Metrics",
        "",
        "Generated from `streamapp/observability/definitions.py` by",
        "`python -m streamapp.observability.metrics_page`.",
        "",
        "`/metrics` also carries the process, platform and garbage collector metrics of the",
        "Prometheus client (`process_*`, `python_*`). With `run --workers` every series of a",
        "worker has the label `worker` as well; those without it are the supervisor's own.",
        "Series of a partition disappear when it is revoked. Keys, offsets and error texts are",
        "never labels.",
        "",
        "`streamapp exporter` has the metrics of groups and its own `streamapp_exporter_kafka_up`.",
        "It also has",
        "`streamapp_dead_letter_depth_records`, `streamapp_dead_letter_oldest_age_seconds`,",
        "`streamapp_dead_letter_expiry_seconds` and two causes of `streamapp_stage_cause`. They",
        "mean the same as those of workers: take the largest or the smallest, never the sum.",
        "",
        "The buckets of a histogram double, so a quantile is known up to a factor of two. Tables,",
        "summaries and the status page show the upper bound of its bucket, as in `p99 ≤ 8.19 ms`.",
        "In OpenMetrics, buckets of attempts and ages name a trace, if there are",
        "[traces](../how-to/watch-it.md#traces).",
        "",
        *_table(
            ("metric", "kind", "unit", "labels", "meaning"),
            (
                (f"`{m.name}`", m.kind, m.unit or "0 or 1", _code_list(m.labels), m.help)
                for m in METRICS
            ),
        ),
        "",
        "## Labels",
        "",
        *_table(
            ("label", "meaning", "values"),
            ((f"`{name}`", label.meaning, _values(label)) for name, label in LABELS.items()),
        ),
        "",
        "So the number of series depends on what is declared and assigned, and not on what the",
        "records hold, how many there are, or how they fail.",
    ]
    return "\n".join(lines) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _values(label: Label) -> str:
    return _code_list(label.values) or label.source


def _code_list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(metrics_reference())
