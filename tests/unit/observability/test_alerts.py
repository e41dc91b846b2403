"""Alert rules: Prometheus itself evaluates each on an example that fires, and one that must not."""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from streamapp.observability.alerts import RULES, absent_rule, rule_file
from streamapp.observability.definitions import METRICS
from tests.prometheus import require_tool

STAGE = 'pipeline="clean", stage="check"'
LAG = f'streamapp_lag_seconds{{{STAGE}, topic="raw", partition="0"}}'
LAG_RECORDS = f'streamapp_lag_records{{{STAGE}, topic="raw", partition="0"}}'
HELD = f"streamapp_held_seconds{{{STAGE}}}"
PROGRESS = f"streamapp_last_progress_age_seconds{{{STAGE}}}"
OF_STAGE = {"pipeline": "clean", "stage": "check"}
MEMBER = f'streamapp_member_breaker_state{{{STAGE}, pool="p", agent="small", breaker="closed"}}'
WORKER = 'job="streamapp", instance="a:9464"'


@dataclass(frozen=True)
class Example:
    """Series, with values of each minute, and whether the rule fires of them after 20 minutes."""

    rule: str
    what: str
    series: Mapping[str, str]
    fires: Mapping[str, str] | None = None
    summary: str = ""
    of: tuple[str, ...] = field(default=("clean",))


def _closed(value: str) -> dict[str, str]:
    return {
        f'streamapp_breaker_state{{{STAGE}, breaker="closed"}}': value,
        f'streamapp_breaker_state{{{STAGE}, breaker="open"}}': "0x30",
    }


EXAMPLES = [
    Example(
        "LagNotDraining",
        "it grows",
        {LAG: "0+60x30"},
        OF_STAGE,
        "stage check of clean is 20m 0s behind and does not catch up",
    ),
    Example("LagNotDraining", "it is large and falls", {LAG: "9000-60x30"}),
    Example("LagNotDraining", "it is small", {LAG: "200x30"}),
    Example(
        "LagNotDraining", "a later retry waits", {LAG.replace("raw", "c.s.retry-1h"): "0+60x30"}
    ),
    Example(
        "StageHeld",
        "for ten minutes",
        {HELD: "0x10 0+60x20"},
        OF_STAGE,
        "stage check of clean has held its records for 9m 0s",
    ),
    Example("StageHeld", "and resumed", {HELD: "0x5 0+60x8 0x20"}),
    Example(
        "BreakerOpen",
        "of a stage",
        _closed("1x8 0x30"),
        OF_STAGE,
        "the breaker of stage check of clean has not been closed for 5 minutes",
    ),
    Example("BreakerOpen", "and closed again and again", _closed("1 0 0 0 1 0 0 0 1 0 0 1x20")),
    Example(
        "BreakerOpen",
        "of a member",
        {MEMBER: "0x30"},
        {**OF_STAGE, "agent": "small"},
        "the breaker of stage check of clean has not been closed for 5 minutes (member small)",
    ),
    Example(
        "DeadLetters",
        "they arrive",
        {f'streamapp_dead_letters_total{{{STAGE}, reason="decode"}}': "0x12 3x20"},
        {**OF_STAGE, "reason": "decode"},
        "stage check of clean has written dead letters in the last 10 minutes: decode",
    ),
    Example(
        "DeadLetters",
        "they are old",
        {f'streamapp_dead_letters_total{{{STAGE}, reason="decode"}}': "0 5x30"},
    ),
    Example(
        "StageStalled",
        "with lag",
        {PROGRESS: "0+60x30", LAG_RECORDS: "7x30", HELD: "0x30"},
        OF_STAGE,
        "stage check of clean has lag and has finished nothing for 20m 0s",
    ),
    Example("StageStalled", "without lag", {PROGRESS: "0+60x30", LAG_RECORDS: "0x30"}),
    Example(
        "StageStalled", "it is held", {PROGRESS: "0+60x30", LAG_RECORDS: "7x30", HELD: "0+60x30"}
    ),
    Example(
        "WorkerGone",
        "it cannot be reached",
        {
            f"up{{{WORKER}}}": "1x10 0x20",
            f'streamapp_build_info{{{WORKER}, version="1"}}': "1x10 _x20",
        },
        {"job": "streamapp", "instance": "a:9464"},
        "a worker at a:9464 does not answer",
    ),
    Example(
        "WorkerGone",
        "one of several processes",
        {f'streamapp_worker_up{{{WORKER}, worker="1"}}': "1x10 0x20"},
        {"job": "streamapp", "instance": "a:9464", "worker": "1"},
        "a worker at a:9464 does not answer (worker 1)",
    ),
    Example("WorkerGone", "something else is down", {'up{job="db", instance="b:1"}': "0x30"}),
    Example(
        "PipelineAbsent",
        "nobody reports",
        {'streamapp_stage_state{pipeline="other", stage="s", state="running"}': "1x30"},
        {"pipeline": "clean"},
        "no worker reports of the pipeline clean",
    ),
    Example(
        "PipelineAbsent",
        "somebody reports",
        {f'streamapp_stage_state{{{STAGE}, state="failed"}}': "1x30"},
    ),
    Example(
        "PipelineAbsent",
        "its name has quotes",
        {'streamapp_stage_state{pipeline="a\\"\\\\b", stage="s", state="running"}': "1x30"},
        of=('a"\\b',),
    ),
]


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - Prometheus' own checker
        [require_tool("promtool"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def _test(example: Example) -> dict[str, Any]:
    [rule] = [
        one
        for one in (*RULES, *map(absent_rule, example.of))
        if one.name == f"Streamapp{example.rule}"
    ]
    expected = (
        []
        if example.fires is None
        else [
            {
                "exp_labels": {"severity": rule.severity, **example.fires},
                "exp_annotations": {"summary": example.summary, "runbook": rule.runbook},
            }
        ]
    )
    return {
        "name": f"{example.rule}: {example.what}",
        "interval": "1m",
        "input_series": [{"series": one, "values": all_} for one, all_ in example.series.items()],
        "alert_rule_test": [{"eval_time": "20m", "alertname": rule.name, "exp_alerts": expected}],
    }


def test_each_rule_fires_of_its_example_and_of_nothing_else(tmp_path: Path) -> None:
    """One run of promtool: its start takes longer than all the examples."""
    tests = []
    for number, example in enumerate(EXAMPLES):
        (tmp_path / f"rules-{number}.yml").write_text(rule_file(example.of))
        tests.append((number, example))
    files = []
    for number, example in tests:
        file = tmp_path / f"test-{number}.yml"
        file.write_text(
            json.dumps(
                {
                    "rule_files": [f"rules-{number}.yml"],
                    "evaluation_interval": "1m",
                    "tests": [_test(example)],
                }
            )
        )
        files.append(file.name)
    tried = promtool("test", "rules", *files, folder=tmp_path)
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_each_rule_has_an_example_that_fires_and_one_that_must_not() -> None:
    names = {rule.name.removeprefix("Streamapp") for rule in (*RULES, absent_rule("p"))}
    assert {one.rule for one in EXAMPLES if one.fires is not None} == names
    assert {one.rule for one in EXAMPLES if one.fires is None} == names


def test_prometheus_takes_the_rules_of_many_pipelines(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rule_file(f"pipeline-{number}" for number in range(100)))
    checked = promtool("check", "rules", "rules.yml", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(RULES) + 100} rules found" in checked.stdout


def test_every_series_that_a_rule_asks_for_is_exported() -> None:
    exported = {metric.name: set(metric.labels) for metric in METRICS}
    for rule in (*RULES, absent_rule("p")):
        asked = re.findall(r"streamapp_\w+", rule.expression)
        assert asked
        assert set(asked) <= exported.keys()
        for grouped in re.findall(r"by \(([\w, ]+)\) \(\D*?(streamapp_\w+)", rule.expression):
            assert set(grouped[0].split(", ")) <= exported[grouped[1]]


def test_without_a_pipeline_there_are_no_rules() -> None:
    assert yaml.safe_load(rule_file([])) == {"groups": []}
