"""All dashboards, and their files."""

from collections.abc import Iterator

from streamapp.observability.dashboards.dead_letters import DEAD_LETTERS
from streamapp.observability.dashboards.grafana import dashboard_json
from streamapp.observability.dashboards.overview import OVERVIEW
from streamapp.observability.dashboards.pipeline import PIPELINE
from streamapp.observability.dashboards.process import PROCESS
from streamapp.observability.dashboards.stage import STAGE_DASHBOARD

DASHBOARDS = (OVERVIEW, PIPELINE, STAGE_DASHBOARD, DEAD_LETTERS, PROCESS)


def files() -> Iterator[tuple[str, str]]:
    """Name and text of the file of each dashboard."""
    for dashboard in DASHBOARDS:
        yield f"{dashboard.uid}.json", dashboard_json(dashboard)
