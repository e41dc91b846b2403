"""Writes PromQL from names of the table of definitions, so that a renamed metric fails here.

Names are given without `streamapp_`. Series are those that the variables of a dashboard select.
"""

import re
from collections.abc import Collection

from streamapp.observability.definitions import METRICS

_METRICS = {metric.name.removeprefix("streamapp_"): metric for metric in METRICS}
_VARIABLES = ("pipeline", "stage")
STAGE = "pipeline, stage"
PARTITION = "pipeline, stage, topic, partition"
PROCESS = "pipeline, stage, instance, worker"
NO_RETRIES = 'topic!~".+[.]retry-.+"'
"""Selects all topics but those in which records wait for a later retry, where lag is no fault."""


def series(name: str, *matchers: str, suffix: str = "") -> str:
    """The series of a metric that the variables select, and these matchers."""
    metric = _METRICS[name]
    selected = [f'{one}=~"${one}"' for one in _VARIABLES if one in metric.labels]
    inside = ",".join((*selected, *matchers))
    return f"{metric.name}{suffix}" + (f"{{{inside}}}" if inside else "")


def narrowed(expression: str, variables: Collection[str]) -> str:
    """The expression without the variables that a dashboard does not have."""
    for name in _VARIABLES:
        if name not in variables:
            expression = re.sub(rf'{name}=~"\${name}",?', "", expression)
    return expression.replace(",}", "}").replace("{}", "")


def rate(name: str, by: str, *matchers: str, suffix: str = "") -> str:
    """Rate a second, summed."""
    return f"sum by ({by}) (rate({series(name, *matchers, suffix=suffix)}[$__rate_interval]))"


def increase(name: str, by: str, *matchers: str, over: str = "$__rate_interval") -> str:
    """How often, within an interval, summed."""
    return f"sum by ({by}) (increase({series(name, *matchers)}[{over}]))"


def summed(name: str, by: str, *matchers: str) -> str:
    """The sum of gauges."""
    return f"sum by ({by}) ({series(name, *matchers)})"


def worst(name: str, by: str, *matchers: str) -> str:
    """The largest of gauges."""
    return f"max by ({by}) ({series(name, *matchers)})"


def least(name: str, by: str, *matchers: str) -> str:
    """The smallest of gauges."""
    return f"min by ({by}) ({series(name, *matchers)})"


def quantile(name: str, share: float, by: str) -> str:
    """A quantile of a histogram within the interval."""
    return f"histogram_quantile({share}, {rate(name, f'{by}, le', suffix='_bucket')})"


def of_partitions(name: str, by: str, *matchers: str) -> str:
    """A sum over partitions; one that two workers tell of during a rebalance counts once."""
    return f"sum by ({by}) ({worst(name, PARTITION, *matchers)})"


def share(part: str, whole: str) -> str:
    """A part of a whole, both rates; nothing while the whole is 0."""
    return f"{part} / ({whole} > 0)"


def failed_share(by: str = STAGE) -> str:
    """Share of records that ended in a dead letter, were dropped, or passed on unchanged."""
    failed = 'outcome=~"dead_lettered|dropped|skipped"'
    ended = 'outcome!="retried_later"'
    whole = rate("finished_records_total", by, ended)
    return share(rate("finished_records_total", by, failed), whole)


def level(by: str = STAGE) -> str:
    """The worst level of stages as a number: 3 failing, 2 unknown, 1 attention, 0 well."""
    graded = [
        f"{series('stage_level', f'level={name!r}'.replace(chr(39), chr(34)))} * {grade}"
        for grade, name in enumerate(("well", "attention", "unknown", "failing"))
    ]
    return f"max by ({by}) ({' or '.join(graded)})"


def unread_partitions() -> str:
    """Partitions of topics that no worker reads."""
    of_topic = "pipeline, stage, topic"
    read = f"count by ({of_topic}) ({worst('partition_blocked', PARTITION)})"
    all_ = worst("topic_partitions", of_topic)
    return f"sum by ({STAGE}) ({all_} - ({read} or 0 * {all_}))"


def of_our_processes(metric: str) -> str:
    """A metric of the Prometheus client, of processes that run streamapp."""
    return f"{metric} and on (job, instance) {series('build_info')}"
