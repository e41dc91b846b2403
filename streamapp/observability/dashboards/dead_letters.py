"""Dead letters: how many, of which stage, why, and whether it is a burst."""

from streamapp.observability.dashboards.dashboard import Dashboard, Panel, PanelKind, Query, Row
from streamapp.observability.dashboards.promql import (
    STAGE,
    failed_share,
    increase,
    least,
    rate,
    share,
    worst,
)

_REASON = f"{STAGE}, reason"
_OPEN = f"{STAGE}, topic"
_LINE = "{{pipeline}} {{stage}}"
_FAILED = 'outcome=~"dead_lettered|dropped|skipped"'

DEAD_LETTERS = Dashboard(
    "dead-letters",
    "streamapp: dead letters",
    "What has failed for good, and whose fault is it?",
    ("pipeline", "stage"),
    (
        Row(
            "Dead letters",
            (
                Panel(
                    "Dead letters in the time shown",
                    "By reason: `decode` and `permanent` are the fault of the record, the others of"
                    " the agent or of what it calls.",
                    "short",
                    (Query(increase("dead_letters_total", _REASON, over="$__range"), "letters"),),
                    PanelKind.TABLE,
                    width=12,
                    links_to_stage=True,
                ),
                Panel(
                    "Causes that have to do with dead letters",
                    "True when too large a share fails, the budget is spent, or letters will be"
                    " deleted.",
                    "none",
                    (
                        Query(
                            worst(
                                "stage_cause",
                                f"{STAGE}, cause",
                                'cause=~"poison_burst|error_ratio|dead_letter_budget|letters_expiring"',
                            ),
                            f"{_LINE}: {{{{cause}}}}",
                        ),
                    ),
                    width=12,
                ),
                Panel(
                    "Dead letters by reason",
                    "Dead letters that Kafka has acknowledged.",
                    "cps",
                    (Query(rate("dead_letters_total", _REASON), f"{_LINE} {{{{reason}}}}"),),
                    width=12,
                ),
                Panel(
                    "Share of records that become dead letters",
                    "Of all records that ended.",
                    "percentunit",
                    (
                        Query(
                            share(
                                rate("dead_letters_total", STAGE),
                                rate("finished_records_total", STAGE, 'outcome!="retried_later"'),
                            ),
                            _LINE,
                        ),
                    ),
                    width=12,
                ),
            ),
        ),
        Row(
            "Open dead letters",
            (
                Panel(
                    "Open dead letters",
                    "Those that were neither replayed nor discarded, of all runs, as one worker of"
                    " each stage counts them.",
                    "short",
                    (Query(worst("dead_letter_depth_records", _OPEN), "{{topic}}"),),
                ),
                Panel(
                    "Age of the oldest open dead letter",
                    "By its timestamp.",
                    "s",
                    (Query(worst("dead_letter_oldest_age_seconds", _OPEN), "{{topic}}"),),
                ),
                Panel(
                    "Oldest open dead letter deleted in",
                    "By the retention of its topic; without a line there is none, or it is kept for"
                    " ever.",
                    "s",
                    (Query(least("dead_letter_expiry_seconds", _OPEN), "{{topic}}"),),
                ),
            ),
        ),
        Row(
            "Other failures",
            (
                Panel(
                    "Share of records that fail for good",
                    "Dead letters, and records that the policy drops or passes on unchanged.",
                    "percentunit",
                    (Query(failed_share(), _LINE),),
                ),
                Panel(
                    "How records fail for good",
                    "By outcome.",
                    "cps",
                    (
                        Query(
                            rate("finished_records_total", f"{STAGE}, outcome", _FAILED),
                            f"{_LINE} {{{{outcome}}}}",
                        ),
                    ),
                ),
                Panel(
                    "Records that wait for a later retry",
                    "They have failed, and are in a retry topic until they are due.",
                    "short",
                    (Query(worst("waiting_records", f"{STAGE}, topic"), "{{topic}}"),),
                ),
            ),
        ),
    ),
)
