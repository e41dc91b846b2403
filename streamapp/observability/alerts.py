"""The alert rules as data, and the rule file for Prometheus that is made of them.

Expressions take metric names from the table of definitions, as the dashboard does, so that a
renamed metric fails here and does not leave a rule that never fires. Each rule has an example in
the tests that fires, and one that must not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from streamapp.observability.definitions import METRICS

_METRICS = {metric.name.removeprefix("streamapp_"): metric.name for metric in METRICS}

_WORKS = '{topic!~".+[.]retry-.+"}'
"""All topics but those in which records wait for a later retry, where lag is no fault."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alert.

    Attributes:
        name: its name.
        expression: PromQL; it fires for each series that is left.
        for_minutes: how long it has to hold before it fires.
        severity: `page` if somebody has to act now, else `ticket`.
        summary: what is wrong, with labels of the series as `{{ $labels.stage }}`.
        runbook: what to do first.
        labels: labels of the alert beside those of the series.
    """

    name: str
    expression: str
    for_minutes: int
    severity: str
    summary: str
    runbook: str
    labels: Mapping[str, str] = field(default_factory=dict)


def _by_stage(metric: str, selector: str = "", aggregate: str = "max") -> str:
    return f"{aggregate} by (pipeline, stage) ({_METRICS[metric]}{selector})"


_CLOSED = '{breaker="closed"}'
_STAGE = "stage {{ $labels.stage }} of {{ $labels.pipeline }}"
_LAG = _by_stage("lag_seconds", _WORKS)
_LAG_BEFORE = _by_stage("lag_seconds", f"{_WORKS} offset 5m")
_HELD = f"{_by_stage('held_seconds')} > 0"

RULES: tuple[AlertRule, ...] = (
    AlertRule(
        "StreamappLagNotDraining",
        f"{_LAG} > 300 and {_LAG} >= {_LAG_BEFORE}",
        5,
        "page",
        f"{_STAGE} is {{{{ $value | humanizeDuration }}}} behind and does not catch up",
        "Compare the rate of records in with that of the stage. If attempts take longer than usual,"
        " look at what the agent calls; else add workers, up to the number of partitions.",
    ),
    AlertRule(
        "StreamappStageHeld",
        f"{_by_stage('held_seconds')} > 300",
        0,
        "page",
        f"{_STAGE} has held its records for {{{{ $value | humanizeDuration }}}}",
        "The status page says what it waits for and when it is tried next. Restore that; nothing is"
        " lost meanwhile, and a restart does not help.",
    ),
    AlertRule(
        "StreamappBreakerOpen",
        f"min by (pipeline, stage) ({_METRICS['breaker_state']}{_CLOSED}) == 0 or"
        f" min by (pipeline, stage, agent) ({_METRICS['member_breaker_state']}{_CLOSED}) == 0",
        5,
        "ticket",
        f"the breaker of {_STAGE} has not been closed for 5 minutes"
        "{{ with $labels.agent }} (member {{ . }}){{ end }}",
        "Calls of the agent fail or are slow. A member of a pool is replaced by the others; look at"
        " its own service.",
    ),
    AlertRule(
        "StreamappDeadLetters",
        f"sum by (pipeline, stage, reason) (increase({_METRICS['dead_letters_total']}[10m])) > 0",
        0,
        "ticket",
        f"{_STAGE} has written dead letters in the last 10 minutes: {{{{ $labels.reason }}}}",
        "Read one of them: its headers say what failed. The reason says whose fault it is.",
    ),
    AlertRule(
        "StreamappStageStalled",
        f"({_by_stage('last_progress_age_seconds')} > 60"
        f" and {_by_stage('lag_records', _WORKS, 'sum')} > 0) unless {_HELD}",
        2,
        "page",
        f"{_STAGE} has lag and has finished nothing for {{{{ $value | humanizeDuration }}}}",
        "/healthz and the log of its worker say why. Restart the worker if they do not.",
    ),
    AlertRule(
        "StreamappWorkerGone",
        f"{_METRICS['worker_up']} == 0"
        f" or up == 0 and on (job, instance) last_over_time({_METRICS['build_info']}[1d])",
        2,
        "page",
        "a worker at {{ $labels.instance }} does not answer"
        "{{ with $labels.worker }} (worker {{ . }}){{ end }}",
        "Look at how its process ended: the exit code and the last line of its log say why.",
    ),
)
"""Rules for all stages that report."""


def absent_rule(pipeline: str) -> AlertRule:
    """The rule that fires if no worker reports of a pipeline."""
    name = pipeline.replace("\\", "\\\\").replace('"', '\\"')
    return AlertRule(
        "StreamappPipelineAbsent",
        f'absent({_METRICS["stage_state"]}{{pipeline="{name}"}})',
        10,
        "page",
        "no worker reports of the pipeline {{ $labels.pipeline }}",
        "Start it, or take it out of the rules if it is not meant to run.",
        {"pipeline": pipeline},
    )


def rule_file(pipelines: Iterable[str]) -> str:
    """The rule file for Prometheus, as YAML.

    Args:
        pipelines: names of the pipelines of which some worker has to report; without one there are
            no rules.
    """
    names = list(pipelines)
    absent = [_as_data(absent_rule(name)) for name in names]
    groups = [
        {"name": "streamapp", "rules": [_as_data(rule) for rule in RULES]},
        {"name": "streamapp-pipelines", "rules": absent},
    ]
    return yaml.safe_dump({"groups": groups if names else []}, sort_keys=False, width=1000)


def _as_data(rule: AlertRule) -> dict[str, Any]:
    return {
        "alert": rule.name,
        "expr": rule.expression,
        "for": f"{rule.for_minutes}m",
        "labels": {"severity": rule.severity, **rule.labels},
        "annotations": {"summary": rule.summary, "runbook": rule.runbook},
    }
