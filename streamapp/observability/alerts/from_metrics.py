"""Alerts on what Prometheus sees and one worker does not: trends, objectives, who is missing."""

from collections.abc import Iterator

from streamapp.observability.alerts.recorded import ended_name, failed_name
from streamapp.observability.alerts.rule import (
    METRIC_NAMES,
    PAGE,
    SEND_BACK,
    STAGE,
    TICKET,
    WORKS,
    AlertRule,
    Objectives,
    Runbook,
    by_stage,
    unless,
)
from streamapp.observability.causes import OUTSIDE, Cause

LEAST_RECORDS = 100
"""Of fewer records within a window, no share is judged: one failure would be too much of it."""

KNOWN_CLEAN_RECORDS = 1000
"""After so many without a dead letter of a reason, the first one is news."""

AHEAD_SECONDS = 7200
"""Somebody who is called so long before records are lost can raise their retention."""

_CLOSED = '{breaker="closed"}'
_SECONDS = {"1h": 3600, "6h": 21_600, "1d": 86_400, "3d": 259_200}
_LAG_PANELS = "The panels `Lag in seconds` and `What lanes do` of the dashboard of the stage."
_WHY = "`streamapp lag PIPELINE --why` says why, if a cause is known."


def metric_rules(objectives: Objectives) -> Iterator[AlertRule]:
    """The rules; those that need no cause to be known."""
    yield from _lag(objectives.lag_seconds)
    yield _retention()
    yield from _dead_letters()
    yield _breaker()
    yield from _workers()
    yield from _burns(1 - objectives.success_ratio)


def _lag(most_seconds: float) -> Iterator[AlertRule]:
    lag, before = by_stage("lag_seconds", WORKS), by_stage("lag_seconds", f"{WORKS} offset 5m")
    behind = f"{STAGE} is {{{{ $value | humanizeDuration }}}} behind"
    yield AlertRule(
        "StreamappLagAboveObjective",
        unless(f"{lag} > {most_seconds:g}", OUTSIDE),
        300,
        TICKET,
        behind,
        Runbook(
            "A stage is further behind than was promised, and may be catching up.",
            (_WHY, _LAG_PANELS),
            (
                "If it falls, wait: the panel shows when it will be back.",
                "If it stays, add workers up to the number of partitions, or speed the agent up.",
            ),
            "When every partition of the stage is within the objective.",
        ),
    )
    yield AlertRule(
        "StreamappLagNotDraining",
        unless(f"{lag} > {most_seconds:g} and {lag} >= {before}", OUTSIDE),
        300,
        PAGE,
        f"{behind} and does not catch up",
        Runbook(
            "A stage is further behind than was promised, and was no further five minutes ago.",
            (_WHY, _LAG_PANELS, "`streamapp lag PIPELINE` shows it by group and topic."),
            (
                "If attempts take longer than usual, look at what the agent calls.",
                "If lanes are blocked, Kafka does not take outputs fast enough.",
                "Else add workers, up to the number of partitions.",
            ),
            "When the lag falls, or is within the objective.",
        ),
    )


def _retention() -> AlertRule:
    left = f"predict_linear({METRIC_NAMES['retention_left_seconds']}[30m], {AHEAD_SECONDS})"
    told = (Cause.RETENTION_NEAR, Cause.CLOCK_SKEW)
    return AlertRule(
        "StreamappRetentionOvertakes",
        unless(f"min by (pipeline, stage, topic) ({left}) < 0", told),
        600,
        PAGE,
        f"{STAGE} will lose records of {{{{ $labels.topic }}}}: as it goes on, they are deleted"
        " before they are read within two hours",
        Runbook(
            "The lag grows, or nothing is read, so that the retention of the topic will overtake"
            " it within two hours, by the trend of the last half hour.",
            ("The panel `Deleted in` of the dashboard of the stage shows how long is left.", _WHY),
            (
                "Raise `retention.ms` of the topic where it is declared.",
                "`streamapp topics apply MODULE:PIPELINE` has Kafka take it over.",
                "Then mend why it is behind: follow the cause, or add workers.",
            ),
            "When the time that is left no longer falls so fast.",
        ),
    )


def _dead_letters() -> Iterator[AlertRule]:
    letters = METRIC_NAMES["dead_letters_total"]
    by_reason = "sum by (pipeline, stage, reason)"
    ended = f"increase({METRIC_NAMES['finished_records_total']}[6h] offset 10m)"
    many = f"sum by (pipeline, stage) ({ended}) >= {KNOWN_CLEAN_RECORDS}"
    new = (
        f"{by_reason} (increase({letters}[10m])) > 0"
        f" unless {by_reason} (increase({letters}[6h] offset 10m)) > 0"
    )
    told = (
        Cause.POISON_BURST,
        Cause.ERROR_RATIO,
        Cause.MOST_RECORDS_FAIL,
        Cause.DEAD_LETTER_BUDGET,
    )
    yield AlertRule(
        "StreamappDeadLettersNew",
        unless(f"({new}) and on (pipeline, stage) {many}", told),
        0,
        TICKET,
        f"{STAGE} writes dead letters as it did not in the six hours before:"
        " {{ $labels.reason }}",
        Runbook(
            "A stage that worked on a thousand records and more without a dead letter of this"
            " reason now writes some. A share that is usual, such as 1 % of bad records, is told"
            " by no alert.",
            (
                "`streamapp dlq stats MODULE:PIPELINE` counts them by fingerprint.",
                "`streamapp dlq list MODULE:PIPELINE` shows where each stands.",
            ),
            (
                "`decode` and `permanent`: ask who writes the source topic.",
                "`exhausted` and `timeout`: ask who runs the service that the agent calls.",
                "`failed`, `output` and `backlog`: look at the agent and its settings.",
                SEND_BACK,
            ),
            "Ten minutes after the last one.",
        ),
    )


def _breaker() -> AlertRule:
    own = f"min by (pipeline, stage) ({METRIC_NAMES['breaker_state']}{_CLOSED}) == 0"
    member = f"min by (pipeline, stage, agent) ({METRIC_NAMES['member_breaker_state']}{_CLOSED})"
    held = f"{by_stage('held_seconds')} > 0"
    return AlertRule(
        "StreamappBreakerOpen",
        f"({own} or {member} == 0) unless on (pipeline, stage) {held}",
        300,
        TICKET,
        f"the breaker of {STAGE} has not been closed for 5 minutes"
        "{{ with $labels.agent }} (member {{ . }}){{ end }}",
        Runbook(
            "Calls of an agent, or of a member of a pool, fail or are slow, so none are made but"
            " probes. If records are held because of it, `StreamappStageHeld` tells that instead.",
            (
                "`streamapp status PIPELINE` shows the breaker and the last errors.",
                "The row `Members of pools` of the dashboard of the stage.",
            ),
            (
                "Look at the service that the agent or member calls.",
                "A member is replaced by the others: see that they have the capacity.",
            ),
            "When a probe succeeds.",
        ),
    )


def _workers() -> Iterator[AlertRule]:
    up, cause = METRIC_NAMES["worker_up"], METRIC_NAMES["worker_cause"]
    ours = f"on (job, instance) last_over_time({METRIC_NAMES['build_info']}[1d])"
    yield AlertRule(
        "StreamappWorkerGone",
        f'({up} == 0 unless on (job, instance, worker) {cause}{{cause="worker_silent"}})'
        f" or up == 0 and {ours}",
        120,
        PAGE,
        "a worker at {{ $labels.instance }} does not run"
        "{{ with $labels.worker }} (worker {{ . }}){{ end }}",
        Runbook(
            "A process that Prometheus knew does not answer it, or a supervisor has had no worker"
            " in its place for two minutes.",
            (
                "`streamapp status PIPELINE` shows which workers report.",
                "The panel `Workers of a supervisor` of the overview.",
            ),
            (
                "Look at how its process ended: the last line of its log says why.",
                "docs/reference/exit-codes.md says of its exit code whether a restart helps.",
                "If it was taken away on purpose, take its target away from Prometheus.",
            ),
            "When it answers again.",
        ),
    )
    yield AlertRule(
        "StreamappWorkerRestarts",
        f"sum by (job, instance, worker)"
        f" (increase({METRIC_NAMES['worker_restarts_total']}[10m])) > 0",
        0,
        TICKET,
        "worker {{ $labels.worker }} at {{ $labels.instance }} has ended unexpectedly and was"
        " started again",
        Runbook(
            "A worker was killed, or ended by a failure, and its supervisor has started it again."
            " What it had not committed was read again.",
            ("The log of the supervisor says how it ended.",),
            (
                "Signal 9 is mostly the kernel, for want of memory: see the panel `Memory`.",
                "If it ends again and again, its last log lines before each end name the cause.",
            ),
            "Ten minutes after the last restart.",
        ),
    )
    yield _partitions_missing()
    yield _exporter()


def _partitions_missing() -> AlertRule:
    of_topic = "pipeline, stage, topic"
    each = f"max by ({of_topic}, partition) ({METRIC_NAMES['partition_blocked']})"
    all_ = f"max by ({of_topic}) ({METRIC_NAMES['topic_partitions']})"
    missing = f"{all_} - (count by ({of_topic}) ({each}) or 0 * {all_})"
    running = by_stage("stage_state", '{state="running"}')
    told = (Cause.FOREIGN_MEMBERS, Cause.PARTITIONS_UNREAD, *OUTSIDE)
    expression = f"sum by (pipeline, stage) ({missing} > 0) and on (pipeline, stage) {running} == 1"
    return AlertRule(
        "StreamappPartitionsMissing",
        unless(expression, told),
        120,
        PAGE,
        f"{STAGE}: {{{{ $value }}}} partitions are read by no worker that reports",
        Runbook(
            "Topics of the stage have more partitions than its workers tell of, all together.",
            (
                "The panel `Partitions, and those that are read` of the dashboard of the stage.",
                "`streamapp lag PIPELINE` shows the members of the group.",
            ),
            (
                "See whether a worker runs that Prometheus does not scrape.",
                "See whether a worker hangs: its partitions go to others when its session is over.",
                "See whether another program is in the group, and give it one of its own.",
            ),
            "When the workers have all partitions.",
        ),
    )


def _exporter() -> AlertRule:
    up = METRIC_NAMES["exporter_kafka_up"]
    return AlertRule(
        "StreamappExporterBlind",
        f"max by (job, instance) ({up}) == 0"
        f" or up == 0 and on (job, instance) last_over_time({up}[1d])",
        300,
        TICKET,
        "the exporter at {{ $labels.instance }} does not run, or Kafka does not answer it",
        Runbook(
            "Nobody tells of stages that do not run: `StreamappNotRunning` cannot fire.",
            (
                "Its `/healthz` and its log say why.",
                "`streamapp lag` asks Kafka the same from elsewhere.",
            ),
            (
                "If its process is gone, start it again; its exit code says whether that helps.",
                "If Kafka does not answer it, see its address, credentials and permissions.",
            ),
            "When Kafka answers it again.",
        ),
    )


def _burns(budget: float) -> Iterator[AlertRule]:
    """Windows and factors of the SRE workbook of Google, chapter 5, table 5-8."""
    means = (
        "Of the records that are not at fault themselves, a larger share than was promised ends in"
        " a dead letter, is dropped or passed on unchanged. A long and a short window are above the"
        " bound, so it goes on now."
    )
    see = (
        "`streamapp dlq stats MODULE:PIPELINE` counts the dead letters by fingerprint.",
        "The dashboard of dead letters shows them by reason.",
    )
    do = (
        "Mend what the most frequent fingerprint names: the agent, or the service that it calls.",
        SEND_BACK,
    )
    ends = "When the short window is below the bound again."
    yield AlertRule(
        "StreamappErrorBudgetBurnFast",
        f"{_burn(14.4 * budget, '1h', '5m')} or {_burn(6 * budget, '6h', '30m')}",
        60,
        PAGE,
        f"{STAGE}: {{{{ $value | humanizePercentage }}}} of the records fail, which spends the"
        " error budget of a month within days",
        Runbook(means, see, do, ends),
    )
    yield AlertRule(
        "StreamappErrorBudgetBurnSlow",
        f"{_burn(3 * budget, '1d', '2h')} or {_burn(budget, '3d', '6h')}",
        900,
        TICKET,
        f"{STAGE}: {{{{ $value | humanizePercentage }}}} of the records fail, which spends the"
        " error budget of a month before it is over",
        Runbook(means, see, do, ends),
    )


def _burn(share: float, long: str, short: str) -> str:
    bound = f"{share:.6g}"
    enough = f"{ended_name(long)} * {_SECONDS[long]} >= {LEAST_RECORDS}"
    return f"({failed_name(long)} > {bound} and {failed_name(short)} > {bound} and {enough})"
