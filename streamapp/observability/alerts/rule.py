"""What rules are, and the PromQL that they have in common.

Expressions take metric names from the table of definitions, as the dashboards do, so that a renamed
metric fails here and does not leave a rule that never fires.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from streamapp.observability.causes import Cause
from streamapp.observability.definitions import METRICS

METRIC_NAMES = {metric.name.removeprefix("streamapp_"): metric.name for metric in METRICS}
WORKS = '{topic!~".+[.]retry-.+"}'
"""All topics but those in which records wait for a later retry, where lag is no fault."""

STAGE = "stage {{ $labels.stage }} of {{ $labels.pipeline }}"
"""The stage of a series, in a summary."""

PAGE, TICKET = "page", "ticket"

SEND_BACK = (
    "When it is mended, `streamapp dlq replay MODULE:PIPELINE` shows what would be sent back, and"
    " with `--yes` sends it."
)
"""The last step where there are dead letters."""


@dataclass(frozen=True, slots=True)
class Runbook:
    """What a person on call reads of an alert, beside its expression.

    Attributes:
        means: what it means, in a sentence or two.
        see: how to see it; commands stand in backticks.
        do: what to do, one step after the other.
        ends: when it ends.
    """

    means: str
    see: tuple[str, ...]
    do: tuple[str, ...]
    ends: str


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alert.

    Attributes:
        name: its name.
        expression: PromQL; it fires for each series that is left.
        for_seconds: how long it has to hold before it fires.
        severity: `page` if somebody has to act now, else `ticket`.
        summary: what is wrong, with labels of the series as `{{ $labels.stage }}`.
        runbook: its page.
        keep_seconds: how long it fires after its expression has ended, for what is an event.
        labels: labels of the alert beside those of the series.
    """

    name: str
    expression: str
    for_seconds: int
    severity: str
    summary: str
    runbook: Runbook
    keep_seconds: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A series that Prometheus computes from others.

    Attributes:
        name: its name: labels, metric and operation, as `pipeline_stage:streamapp_lag_seconds:max`.
        expression: PromQL.
    """

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Objectives:
    """What is promised.

    Attributes:
        lag_seconds: a stage is behind by no more than this.
        success_ratio: share of the records that are not at fault themselves that is worked on.
    """

    lag_seconds: float = 300.0
    success_ratio: float = 0.999


def by_stage(metric: str, selector: str = "", aggregate: str = "max") -> str:
    """A metric of all workers of a stage together."""
    return f"{aggregate} by (pipeline, stage) ({METRIC_NAMES[metric]}{selector})"


def is_true(*causes: Cause) -> str:
    """The stages of which one of these causes is true."""
    return by_stage("stage_cause", f'{{cause=~"{"|".join(causes)}"}}')


def lately_true(cause: Cause) -> str:
    """The stages of which a cause was true within a minute, of workers that miss scrapes too."""
    found = f'max_over_time({METRIC_NAMES["stage_cause"]}{{cause="{cause}"}}[1m])'
    return f"max by (pipeline, stage) ({found})"


def unless(expression: str, causes: Iterable[Cause]) -> str:
    """The expression, but not where one of these causes explains it."""
    explained = is_true(*causes)
    return f"({expression}) unless on (pipeline, stage) {explained}"
