"""Alert rules: Prometheus itself evaluates each on an example that fires, and one that must not."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamapp.observability.alerts.from_causes import cause_rules, rule_name
from streamapp.observability.alerts.recorded import objective_rules, stage_rules
from streamapp.observability.alerts.rule import AlertRule, Objectives
from streamapp.observability.alerts.rule_file import absent_rule, rule_file, rules
from streamapp.observability.causes import EXPLAINED_BY, TABLE, Cause, Level
from streamapp.observability.definitions import METRICS
from tests.promtool import promtool

STAGE = 'pipeline="clean", stage="check"'
LAG = f'streamapp_lag_seconds{{{STAGE}, topic="raw", partition="0"}}'
LEFT = f'streamapp_retention_left_seconds{{{STAGE}, topic="raw", partition="0"}}'
HELD = f"streamapp_held_seconds{{{STAGE}}}"
OF_STAGE = {"pipeline": "clean", "stage": "check"}
MEMBER = f'streamapp_member_breaker_state{{{STAGE}, pool="p", agent="small", breaker="closed"}}'
WORKER = 'job="streamapp", instance="a:9464"'
OF_WORKER = {"job": "streamapp", "instance": "a:9464"}
RUNNING = f'streamapp_stage_state{{{STAGE}, state="running"}}'
RULES = {rule.name: rule for rule in (*rules(), absent_rule("clean"))}


@dataclass(frozen=True)
class Example:
    """Series, with values of each minute, and whether the rule fires of them at a minute."""

    rule: str
    what: str
    series: Mapping[str, str]
    fires: Mapping[str, str] | None = None
    summary: str = ""
    of: tuple[str, ...] = field(default=("clean",))
    minute: int = 20


def cause_series(cause: Cause) -> str:
    """The series that tells that a cause is true, of the stage or of the worker."""
    if cause is Cause.WORKER_SILENT:
        return f'streamapp_worker_cause{{{WORKER}, worker="1", cause="{cause}"}}'
    return f'streamapp_stage_cause{{{STAGE}, cause="{cause}"}}'


def letters(reason: str) -> str:
    return f'streamapp_dead_letters_total{{{STAGE}, reason="{reason}"}}'


def finished(outcome: str) -> str:
    return f'streamapp_finished_records_total{{{STAGE}, outcome="{outcome}"}}'


def partitions(has: int, read: int) -> dict[str, str]:
    """A topic with so many partitions, of which workers have so many."""
    blocked = f'streamapp_partition_blocked{{{STAGE}, topic="raw", partition="%d"}}'
    return {
        RUNNING: "1x30",
        f'streamapp_topic_partitions{{{STAGE}, topic="raw"}}': f"{has}x30",
        **{blocked % number: "0x30" for number in range(read)},
    }


def _closed(value: str) -> dict[str, str]:
    return {
        f'streamapp_breaker_state{{{STAGE}, breaker="closed"}}': value,
        f'streamapp_breaker_state{{{STAGE}, breaker="open"}}': "0x30",
    }


def failing(share_of_a_thousand: int, reason: str, minutes: int = 60) -> dict[str, str]:
    """A thousand records a minute, of which so many become dead letters of one reason."""
    bad = f"0+{share_of_a_thousand}x{minutes}"
    return {
        letters("decode"): f"0x{minutes}",
        finished("processed"): f"0+{1000 - share_of_a_thousand}x{minutes}",
        finished("dead_lettered"): bad,
        letters(reason): bad,
    }


def _of_causes() -> Iterator[Example]:
    """Each cause: while it is true, and when it was, or another explains it."""
    for rule, cause in zip(cause_rules(), _causes_with_a_rule(), strict=True):
        name, series = rule.name.removeprefix("Streamapp"), cause_series(cause)
        worker = cause is Cause.WORKER_SILENT
        told = (
            "worker 1 at a:9464 does not answer"
            if worker
            else f"stage check of clean: {TABLE[cause].meaning}"
        )
        labels = {**OF_WORKER, "worker": "1"} if worker else OF_STAGE
        yield Example(name, f"{cause} is true", {series: "_x17 1x10"}, labels, told)
        yield Example(name, f"{cause} is over", {series: "_x2 1x5 stale"})
        for other in EXPLAINED_BY.get(cause, ()):
            both = {series: "1x30", cause_series(other): "1x30"}
            yield Example(name, f"{cause} is explained by {other}", both)


def _causes_with_a_rule() -> list[Cause]:
    names = {rule.name for rule in cause_rules()}
    return [cause for cause in TABLE if rule_name(cause) in names]


EXAMPLES = [
    *_of_causes(),
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
        "LagNotDraining",
        "records are held",
        {LAG: "0+60x30", cause_series(Cause.DEPENDENCY_DOWN): "1x30"},
    ),
    Example(
        "LagAboveObjective",
        "it is large and falls",
        {LAG: "9000-60x30"},
        OF_STAGE,
        "stage check of clean is 2h 10m 0s behind",
    ),
    Example("LagAboveObjective", "it is small", {LAG: "200x30"}),
    Example("LagAboveObjective", "it was large for two minutes", {LAG: "0x17 400x1 0x20"}),
    Example(
        "RetentionOvertakes",
        "nothing is read",
        {LEFT: "7000-60x30"},
        {**OF_STAGE, "topic": "raw"},
        "stage check of clean will lose records of raw: as it goes on, they are deleted before"
        " they are read within two hours",
    ),
    Example("RetentionOvertakes", "it is far away", {LEFT: "600000-60x30"}),
    Example("RetentionOvertakes", "the lag comes and goes", {LEFT: "3600 3540 3590 3570 3600x30"}),
    Example(
        "RetentionOvertakes",
        "it is near, which another alert tells",
        {LEFT: "7000-60x30", cause_series(Cause.RETENTION_NEAR): "1x30"},
    ),
    Example(
        "BreakerOpen",
        "of a stage",
        _closed("1x8 0x30"),
        OF_STAGE,
        "the breaker of stage check of clean has not been closed for 5 minutes",
    ),
    Example("BreakerOpen", "and closed again and again", _closed("1 0 0 0 1 0 0 0 1 0 0 1x20")),
    Example("BreakerOpen", "and records are held for it", {**_closed("0x30"), HELD: "0+60x30"}),
    Example(
        "BreakerOpen",
        "of a member",
        {MEMBER: "0x30"},
        {**OF_STAGE, "agent": "small"},
        "the breaker of stage check of clean has not been closed for 5 minutes (member small)",
    ),
    Example(
        "DeadLettersNew",
        "of a reason that there was not before",
        {finished("processed"): "0+100x420", letters("decode"): "0x392 3x20"},
        {**OF_STAGE, "reason": "decode"},
        "stage check of clean writes dead letters as it did not in the six hours before: decode",
        minute=400,
    ),
    Example(
        "DeadLettersNew",
        "as usual",
        {finished("processed"): "0+100x420", letters("decode"): "0+1x420"},
        minute=400,
    ),
    Example(
        "DeadLettersNew",
        "of a stage that has just begun",
        {finished("processed"): "0+100x30", letters("decode"): "0+1x30"},
        minute=12,
    ),
    Example(
        "DeadLettersNew",
        "and the burst is told",
        {
            finished("processed"): "0+100x420",
            letters("decode"): "0x392 3x20",
            cause_series(Cause.POISON_BURST): "_x392 1x20",
        },
        minute=400,
    ),
    Example(
        "WorkerGone",
        "it cannot be reached",
        {
            f"up{{{WORKER}}}": "1x10 0x20",
            f'streamapp_build_info{{{WORKER}, version="1"}}': "1x10 _x20",
        },
        OF_WORKER,
        "a worker at a:9464 does not run",
    ),
    Example(
        "WorkerGone",
        "one of several processes",
        {f'streamapp_worker_up{{{WORKER}, worker="1"}}': "1x10 0x20"},
        {**OF_WORKER, "worker": "1"},
        "a worker at a:9464 does not run (worker 1)",
    ),
    Example(
        "WorkerGone",
        "its pod is replaced in a rolling restart",
        {
            f"up{{{WORKER}}}": "1x10 0 0 _x20",
            f'streamapp_build_info{{{WORKER}, version="1"}}': "1x10 _x22",
        },
        minute=12,
    ),
    Example(
        "WorkerGone",
        "its pod comes back under its address",
        {
            f"up{{{WORKER}}}": "1x10 0 0 1x20",
            f'streamapp_build_info{{{WORKER}, version="1"}}': "1x10 _ _ 1x20",
        },
        minute=13,
    ),
    Example(
        "WorkerGone",
        "it is frozen, which another alert tells",
        {
            f'streamapp_worker_up{{{WORKER}, worker="1"}}': "1x10 0x20",
            cause_series(Cause.WORKER_SILENT): "_x10 1x20",
        },
    ),
    Example(
        "ExporterBlind",
        "Kafka does not answer it",
        {f"streamapp_exporter_kafka_up{{{WORKER}}}": "1x5 0x30"},
        OF_WORKER,
        "the exporter at a:9464 does not run, or Kafka does not answer it",
    ),
    Example(
        "ExporterBlind",
        "its process is gone",
        {
            f"up{{{WORKER}}}": "1x5 0x30",
            f"streamapp_exporter_kafka_up{{{WORKER}}}": "1x5 _x30",
        },
        OF_WORKER,
        "the exporter at a:9464 does not run, or Kafka does not answer it",
    ),
    Example(
        "ExporterBlind",
        "it looks again after a minute",
        {f"streamapp_exporter_kafka_up{{{WORKER}}}": "1x17 0 1x20"},
    ),
    Example("WorkerGone", "something else is down", {'up{job="db", instance="b:1"}': "0x30"}),
    Example(
        "WorkerRestarts",
        "one was killed",
        {f'streamapp_worker_restarts_total{{{WORKER}, worker="1"}}': "0x15 1x20"},
        {**OF_WORKER, "worker": "1"},
        "worker 1 at a:9464 has ended unexpectedly and was started again",
    ),
    Example(
        "WorkerRestarts",
        "the supervisor was restarted",
        {f'streamapp_worker_restarts_total{{{WORKER}, worker="1"}}': "2x15 0x20"},
    ),
    Example(
        "PartitionsMissing",
        "one is read by nobody",
        partitions(6, 5),
        OF_STAGE,
        "stage check of clean: 1 partitions are read by no worker that reports",
    ),
    Example(
        "PartitionsMissing",
        "the workers that report have none",
        partitions(3, 0),
        OF_STAGE,
        "stage check of clean: 3 partitions are read by no worker that reports",
    ),
    Example("PartitionsMissing", "all are read", partitions(6, 6)),
    Example("PartitionsMissing", "it has ended", {**partitions(6, 5), RUNNING: "0x30"}),
    Example(
        "PartitionsMissing",
        "an outsider has some, which another alert tells",
        {**partitions(6, 5), cause_series(Cause.FOREIGN_MEMBERS): "1x30"},
    ),
    Example(
        "ErrorBudgetBurnFast",
        "two of a hundred fail",
        failing(20, "exhausted"),
        OF_STAGE,
        "stage check of clean: 2% of the records fail, which spends the error budget of a month"
        " within days",
    ),
    Example("ErrorBudgetBurnFast", "one of a hundred is broken", failing(10, "decode")),
    Example("ErrorBudgetBurnFast", "one of ten is refused", failing(100, "permanent")),
    Example("ErrorBudgetBurnFast", "one of ten thousand fails", failing(0, "exhausted")),
    Example(
        "ErrorBudgetBurnFast",
        "there are few records",
        {finished("processed"): "0+2x60", finished("dead_lettered"): "0x3 1x60"},
    ),
    Example(
        "ErrorBudgetBurnSlow",
        "four of a thousand fail",
        failing(4, "failed"),
        OF_STAGE,
        "stage check of clean: 0.4% of the records fail, which spends the error budget of a month"
        " before it is over",
        minute=40,
    ),
    Example("ErrorBudgetBurnSlow", "one of a hundred is broken", failing(10, "decode"), minute=40),
    *(
        Example(
            f"ErrorBudgetBurn{speed}",
            "broken records are read again and again, as Kafka refuses batches",
            failing(100, "permanent") | {letters("permanent"): "0+1x60"},
            minute=40,
        )
        for speed in ("Fast", "Slow")
    ),
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


def alert_test(rule: AlertRule, minute: int, fires: Example | None) -> dict[str, Any]:
    """What promtool compares at a minute."""
    expected = []
    if fires is not None and fires.fires is not None:
        annotations = {
            "summary": fires.summary,
            "runbook": rule.runbook.do[0],
            "runbook_url": f"docs/runbooks/{rule.name}.md",
        }
        labels = {"severity": rule.severity, **fires.fires}
        expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    return {"eval_time": f"{minute}m", "alertname": rule.name, "exp_alerts": expected}


def run_tests(
    folder: Path, pipelines: tuple[str, ...], tests: Mapping[str, Any], every: str = "1m"
) -> None:
    """Run promtool once: its start takes longer than many examples.

    Args:
        folder: for its files.
        pipelines: those that the rules are made for.
        tests: its tests by the rule that they are about, so that no other is evaluated; those of
            the name "" have all.
        every: time between two evaluations.
    """
    for name, own in tests.items():
        content = yaml.safe_load(rule_file(pipelines))
        for group in content["groups"]:
            group["rules"] = [one for one in group["rules"] if _is_needed(one, name)]
        (folder / f"rules-{name}.yml").write_text(json.dumps(content))
        rule_files = [f"rules-{name}.yml"]
        file = {"rule_files": rule_files, "evaluation_interval": every, "tests": own}
        (folder / f"tests-{name}.yml").write_text(json.dumps(file))
    files = [f"tests-{name}.yml" for name in tests]
    tried = promtool("test", "rules", *files, folder=folder)
    assert tried.returncode == 0, tried.stdout + tried.stderr


def _is_needed(rule: Mapping[str, Any], name: str) -> bool:
    return not name or rule.get("alert") == name or ("record" in rule and "Burn" in name)


def promtool_test(name: str, series: Mapping[str, str], *compared: Any) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": one, "values": all_} for one, all_ in series.items()],
        "alert_rule_test": list(compared),
    }


@pytest.mark.parametrize("pipelines", sorted({one.of for one in EXAMPLES}), ids=str)
def test_each_rule_fires_of_its_example_and_of_nothing_else(
    pipelines: tuple[str, ...], tmp_path: Path
) -> None:
    tests = defaultdict(list)
    for example in (one for one in EXAMPLES if one.of == pipelines):
        rule = RULES[f"Streamapp{example.rule}"]
        compared = alert_test(rule, example.minute, example)
        told = f"{example.rule}: {example.what}"
        tests[rule.name].append(promtool_test(told, example.series, compared))
    run_tests(tmp_path, pipelines, tests)


def test_each_rule_has_an_example_that_fires_and_one_that_must_not() -> None:
    names = {name.removeprefix("Streamapp") for name in RULES}
    assert {one.rule for one in EXAMPLES if one.fires is not None} == names
    assert {one.rule for one in EXAMPLES if one.fires is None} == names


def _well(at: str, values: Mapping[str, str]) -> dict[str, str]:
    """Series of one worker of the example; names that begin with the metric's."""
    worker = f'job="streamapp", instance="{at}"'
    return {name.replace("{", f"{{{worker}, ", 1): value for name, value in values.items()}


def _worker(at: str, begins: int, ends: int) -> dict[str, str]:
    """A worker with 1 % of bad records and two partitions, from one minute to another.

    It is restarted half-way: its counters begin again, and its partitions are read anew.
    """
    half = (ends - begins) // 2
    twice = f"_x{begins} 0+%dx{half} 0+%dx{half} _x30"

    def steady(value: str) -> str:
        return f"_x{begins} {value}x{2 * half} _x30"

    levels = {f'streamapp_stage_level{{{STAGE}, level="well"}}': steady("1")}
    return _well(
        at,
        {
            finished("processed"): twice % (5940, 5940),
            finished("dead_lettered"): twice % (60, 60),
            finished("retried_later"): steady("0"),
            letters("decode"): twice % (30, 30),
            letters("permanent"): twice % (30, 30),
            letters("exhausted"): steady("0"),
            LAG: f"_x{begins} 1x{half} 40 10 1x{half - 2} _x30",
            HELD: steady("0"),
            RUNNING: steady("1"),
            f'streamapp_topic_partitions{{{STAGE}, topic="raw"}}': steady("1"),
            f'streamapp_partition_blocked{{{STAGE}, topic="raw", partition="0"}}': steady("0"),
            f"streamapp_rebalances_total{{{STAGE}}}": f"_x{begins} 1x{half} 1x{half} _x30",
            'streamapp_build_info{version="1"}': steady("1"),
            **_closed(steady("1")),
            **levels,
        },
    )


def test_bad_records_as_usual_restarts_and_a_rolling_deployment_call_nobody(tmp_path: Path) -> None:
    """Two hours of one worker, which is restarted, and two hours of the one that replaces it."""
    series = {**_worker("a:9464", 0, 120), **_worker("b:9464", 121, 240)}
    series |= {'up{job="streamapp", instance="a:9464"}': "1x120 _x150"}
    series |= {'up{job="streamapp", instance="b:9464"}': "_x121 1x150"}
    minutes = (1, 5, 10, 30, 61, 63, 70, 119, 122, 125, 130, 150, 182, 200, 239)
    compared = [alert_test(rule, minute, None) for rule in RULES.values() for minute in minutes]
    run_tests(tmp_path, ("clean",), {"": [promtool_test("as usual", series, *compared)]})


def test_a_blocked_loop_is_told_although_the_worker_misses_most_scrapes(tmp_path: Path) -> None:
    rule = RULES["StreamappLoopBlocked"]
    meaning = TABLE[Cause.LOOP_BLOCKED].meaning
    example = Example("LoopBlocked", "", {}, OF_STAGE, f"stage check of clean: {meaning}")
    missed = " ".join(["1 stale _"] * 12)  # blocked for half a minute again and again
    checked = promtool_test(
        "", {cause_series(Cause.LOOP_BLOCKED): missed}, alert_test(rule, 4, example)
    )
    tests = {rule.name: [{**checked, "interval": "15s"}]}
    run_tests(tmp_path, ("clean",), tests, every="15s")


def test_prometheus_takes_the_rules_of_many_pipelines(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rule_file(f"pipeline-{number}" for number in range(100)))
    checked = promtool("check", "rules", "rules.yml", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    recorded = len([*stage_rules(), *objective_rules()])
    assert f"{len(rules()) + recorded + 100} rules found" in checked.stdout


def test_every_series_that_a_rule_asks_for_is_exported_or_recorded() -> None:
    exported = {metric.name: set(metric.labels) for metric in METRICS}
    recording = [*stage_rules(), *objective_rules()]
    recorded = {rule.name for rule in recording}
    assert len(recorded) == len(recording)
    expressions = [rule.expression for rule in RULES.values()]
    for expression in (*expressions, *(rule.expression for rule in recording)):
        asked = re.findall(r"(?<!:)\bstreamapp_\w+", expression)
        assert set(asked) <= exported.keys()
        used = set(re.findall(r"pipeline_stage:\w+:\w+", expression))
        assert used <= recorded
        assert asked or used


def test_every_cause_is_told_by_an_alert() -> None:
    untold = set(TABLE) - set(_causes_with_a_rule())
    assert untold == {Cause.WORKER_GONE}, "WorkerGone does"


def test_what_fails_or_is_unknown_calls_a_person_at_once_and_nothing_else_does() -> None:
    for rule, cause in zip(cause_rules(), _causes_with_a_rule(), strict=True):
        is_grave = TABLE[cause].level in (Level.FAILING, Level.UNKNOWN)
        assert rule.severity == ("page" if is_grave else "ticket")


def test_objectives_set_the_bounds() -> None:
    found = {one.name: one.expression for one in rules(Objectives(60, 0.99))}
    assert "> 60 and" in found["StreamappLagNotDraining"]
    assert "> 60)" in found["StreamappLagAboveObjective"]
    assert "ratio_rate1h > 0.144 " in found["StreamappErrorBudgetBurnFast"]
    assert "ratio_rate3d > 0.01 " in found["StreamappErrorBudgetBurnSlow"]


def test_without_a_pipeline_there_are_no_rules() -> None:
    assert yaml.safe_load(rule_file([])) == {"groups": []}
