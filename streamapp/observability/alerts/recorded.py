"""Recording rules: rates and shares of stages, all workers together."""

from collections.abc import Iterator

from streamapp.observability.alerts.rule import METRIC_NAMES, WORKS, RecordingRule, by_stage

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Windows of the objective."""

_NOT_OWN_FAULT = 'reason!~"decode|permanent"'


def stage_rules() -> Iterator[RecordingRule]:
    """What dashboards and rules of one's own are made of."""
    for name in ("received_records", "acknowledged_records", "dead_letters"):
        rate = f"sum by (pipeline, stage) (rate({METRIC_NAMES[f'{name}_total']}[5m]))"
        yield RecordingRule(f"pipeline_stage:streamapp_{name}:rate5m", rate)
    yield RecordingRule("pipeline_stage:streamapp_lag_seconds:max", by_stage("lag_seconds", WORKS))
    each = f"max by (pipeline, stage, topic, partition) ({METRIC_NAMES['lag_records']}{WORKS})"
    yield RecordingRule(
        "pipeline_stage:streamapp_lag_records:sum", f"sum by (pipeline, stage) ({each})"
    )


def objective_rules() -> Iterator[RecordingRule]:
    """Records that ended, and the share that we owe and did not work on, by window.

    A record that is itself at fault (reasons `decode` and `permanent`) is no failure of ours. Dead
    letters are counted by what Kafka has taken: while it refuses, records end again and again.
    """
    for window in WINDOWS:
        ended = _rate("finished_records_total", 'outcome!="retried_later"', window)
        yield RecordingRule(ended_name(window), ended)
        passed_over = _each("finished_records_total", 'outcome=~"dropped|skipped"', window)
        letters = _each("dead_letters_total", _NOT_OWN_FAULT, window)
        failed = f"sum by (pipeline, stage) ({passed_over} or {letters})"
        yield RecordingRule(failed_name(window), f"{failed} / ({ended} > 0)")


def ended_name(window: str) -> str:
    """Name of the rate of records that ended."""
    return f"pipeline_stage:streamapp_ended_records:rate{window}"


def failed_name(window: str) -> str:
    """Name of the share of them that failed and are not at fault themselves."""
    return f"pipeline_stage:streamapp_failed_records:ratio_rate{window}"


def _rate(name: str, matcher: str, window: str) -> str:
    return f"sum by (pipeline, stage) ({_each(name, matcher, window)})"


def _each(name: str, matcher: str, window: str) -> str:
    return f"rate({METRIC_NAMES[name]}{{{matcher}}}[{window}])"
