"""What dashboards ask of Prometheus."""

from collections.abc import Iterator

from streamapp.observability.dashboards.dashboard import Dashboard
from streamapp.observability.dashboards.grafana import annotations, model


def asked_by(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """Title and expression of all that a dashboard asks for, as Grafana would send it."""
    for panel in model(dashboard)["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], chosen(target["expr"])
    for name, _, expression, _ in annotations(dashboard):
        yield name, chosen(expression)


def chosen(expression: str) -> str:
    """An expression with all pipelines and stages, and an interval of ten scrapes."""
    values = {"$pipeline": ".*", "$stage": ".*", "$__rate_interval": "10s", "$__range": "10s"}
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    return expression
