"""The rows about what the agent of a stage depends on: holds, retries, parts, models and pools."""

from streamapp.observability.dashboards.dashboard import Panel, Query, Row
from streamapp.observability.dashboards.promql import STAGE, increase, rate, summed, worst

_TOPIC = "pipeline, stage, topic"
_PART = "pipeline, stage, agent"
_MEMBER = "pipeline, stage, pool, agent"
_LINE = "{{stage}} {{agent}}"
_NOT_CLOSED = 'breaker!="closed"'

_HOLDS = Row(
    "Holds, breakers and later retries",
    (
        Panel(
            "Held for",
            "Since what it depends on is down, or it has too many dead letters. 0: it does not.",
            "s",
            (Query(worst("held_seconds", STAGE), "{{stage}}"),),
        ),
        Panel(
            "Holds and probes",
            "Times that records began to be held, attempts made meanwhile, and agents replaced.",
            "short",
            (
                Query(increase("holds_total", STAGE), "{{stage}} holds"),
                Query(increase("probes_total", STAGE), "{{stage}} probes"),
                Query(
                    increase("agent_replacements_total", f"{STAGE}, trigger"),
                    "{{stage}} replaced: {{trigger}}",
                ),
            ),
        ),
        Panel(
            "Breaker is not closed",
            "1 while the breaker of the stage lets through nothing, or one probe at a time.",
            "short",
            (
                Query(
                    worst("breaker_state", f"{STAGE}, breaker", _NOT_CLOSED),
                    "{{stage}} {{breaker}}",
                ),
            ),
        ),
        Panel(
            "Records that come to wait",
            "Records that Kafka has acknowledged in a retry topic.",
            "cps",
            (Query(rate("later_retries_total", _TOPIC), "{{topic}}"),),
        ),
        Panel(
            "Records that wait",
            "Records in retry topics that are not finished.",
            "short",
            (Query(summed("waiting_records", _TOPIC), "{{topic}}"),),
        ),
        Panel(
            "Next record is due in",
            "0: one is due, or there is none.",
            "s",
            (Query(worst("retry_wait_seconds", _TOPIC), "{{topic}}"),),
        ),
    ),
)

_PARTS = Row(
    "Parts of the agent",
    (
        Panel(
            "Calls",
            "Calls of branches, choices and members.",
            "cps",
            (Query(rate("part_calls_total", _PART), _LINE),),
        ),
        Panel(
            "Failures",
            "Calls that raised, also where another part or a default took over.",
            "cps",
            (Query(rate("part_failures_total", _PART), _LINE),),
        ),
        Panel(
            "Calls that run, on average",
            "Seconds of all calls a second.",
            "short",
            (Query(rate("part_duration_seconds_total", _PART), _LINE),),
        ),
    ),
)

_MODELS = Row(
    "Language models",
    (
        Panel(
            "Calls and requests",
            "Calls that were passed to a model, and requests that its provider has answered.",
            "cps",
            (
                Query(rate("model_calls_total", _PART), f"{_LINE} calls"),
                Query(rate("model_requests_total", _PART), f"{_LINE} requests"),
            ),
        ),
        Panel(
            "Failures",
            "By who was at fault.",
            "cps",
            (Query(rate("model_failures_total", f"{_PART}, fault"), f"{_LINE} {{{{fault}}}}"),),
        ),
        Panel(
            "Tokens",
            "As the provider counts them.",
            "cps",
            (
                Query(
                    rate("model_tokens_total", f"{_PART}, direction"), f"{_LINE} {{{{direction}}}}"
                ),
            ),
        ),
    ),
)

_POOLS = Row(
    "Members of pools",
    (
        Panel(
            "Calls and failures",
            "By member.",
            "cps",
            (
                Query(rate("member_calls_total", _MEMBER), f"{_LINE} calls"),
                Query(rate("member_failures_total", _MEMBER), f"{_LINE} failures"),
            ),
            width=6,
        ),
        Panel(
            "Calls that run",
            "And the most that may.",
            "short",
            (
                Query(summed("member_active_calls", _MEMBER), f"{_LINE} active"),
                Query(summed("member_capacity_calls", _MEMBER), f"{_LINE} capacity"),
            ),
            width=6,
        ),
        Panel(
            "Score",
            "How long a call would keep the member from others; the lowest is called next.",
            "s",
            (Query(worst("member_score_seconds", _MEMBER), _LINE),),
            width=6,
        ),
        Panel(
            "Left out",
            "1 while the breaker of the member is not closed.",
            "short",
            (Query(worst("member_breaker_state", _MEMBER, _NOT_CLOSED), _LINE),),
            width=6,
        ),
    ),
)

AGENT_ROWS = (_HOLDS, _PARTS, _MODELS, _POOLS)
