"""All rules, and the rule file for Prometheus that is made of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from streamapp.observability.alerts.from_causes import cause_rules
from streamapp.observability.alerts.from_metrics import metric_rules
from streamapp.observability.alerts.recorded import objective_rules, stage_rules
from streamapp.observability.alerts.rule import (
    METRIC_NAMES,
    PAGE,
    AlertRule,
    Objectives,
    RecordingRule,
    Runbook,
)

RUNBOOKS = "docs/runbooks"
"""Where the pages stand, in the repository."""


def rules(objectives: Objectives | None = None) -> Sequence[AlertRule]:
    """The alerts on all stages and workers that report."""
    return (*cause_rules(), *metric_rules(objectives or Objectives()))


def absent_rule(pipeline: str) -> AlertRule:
    """The rule that fires if no worker reports of a pipeline."""
    name = pipeline.replace("\\", "\\\\").replace('"', '\\"')
    return AlertRule(
        "StreamappPipelineAbsent",
        f'absent({METRIC_NAMES["stage_state"]}{{pipeline="{name}"}})',
        600,
        PAGE,
        "no worker reports of the pipeline {{ $labels.pipeline }}",
        Runbook(
            "Prometheus has no metrics of any worker of a pipeline that is meant to run.",
            ("`streamapp status PIPELINE` shows how its last run has ended.",),
            (
                "Start it, or see why Prometheus does not reach its workers.",
                "If it is not meant to run, make the rules anew without it.",
            ),
            "When a worker reports of it.",
        ),
        labels={"pipeline": pipeline},
    )


def rule_file(
    pipelines: Iterable[str], objectives: Objectives | None = None, runbooks: str = RUNBOOKS
) -> str:
    """The rule file for Prometheus 2.42 and later, as YAML.

    Args:
        pipelines: names of the pipelines of which some worker has to report; without one there are
            no rules.
        objectives: what is promised.
        runbooks: address of the folder of runbooks, without a slash at its end.
    """
    names = list(pipelines)
    if not names:
        return yaml.safe_dump({"groups": []})
    everywhere = [_alert(rule, runbooks) for rule in rules(objectives)]
    absent = [_alert(absent_rule(name), runbooks) for name in names]
    objective = [_recording(rule) for rule in objective_rules()]
    groups: list[dict[str, Any]] = [
        {"name": "streamapp-stages", "rules": [_recording(rule) for rule in stage_rules()]},
        {"name": "streamapp-objective", "interval": "1m", "rules": objective},
        {"name": "streamapp", "rules": everywhere},
        {"name": "streamapp-pipelines", "rules": absent},
    ]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)


def page_name(rule: AlertRule) -> str:
    """Name of the file of its runbook."""
    return f"{rule.name}.md"


def _recording(rule: RecordingRule) -> dict[str, str]:
    return {"record": rule.name, "expr": rule.expression}


def _alert(rule: AlertRule, runbooks: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "alert": rule.name,
        "expr": rule.expression,
        "for": f"{rule.for_seconds}s",
    }
    if rule.keep_seconds:
        made["keep_firing_for"] = f"{rule.keep_seconds}s"
    made["labels"] = {"severity": rule.severity, **rule.labels}
    made["annotations"] = {
        "summary": rule.summary,
        "runbook": rule.runbook.do[0],
        "runbook_url": f"{runbooks}/{page_name(rule)}",
    }
    return made
