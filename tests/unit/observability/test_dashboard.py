import re
from pathlib import Path

import yaml

from streamapp.observability.dashboard import DATASOURCE_UID, dashboard, dashboard_json, panels
from streamapp.observability.definitions import STAGE_METRICS, MetricKind

DEPLOY = Path(__file__).parents[3] / "deploy"


def _queries() -> list[str]:
    return [expression for panel in panels() for expression, _ in panel.queries]


def test_the_file_is_what_the_code_draws() -> None:
    file = DEPLOY / "grafana" / "dashboards" / "streamapp.json"
    assert file.read_text() == dashboard_json(), (
        f"regenerate: python -m streamapp.observability.dashboard > {file.name}"
    )


def test_every_series_it_asks_for_is_exported() -> None:
    exported = {m.name for m in STAGE_METRICS if m.kind is not MetricKind.HISTOGRAM} | {
        f"{m.name}_bucket" for m in STAGE_METRICS if m.kind is MetricKind.HISTOGRAM
    }
    asked = set(re.findall(r"streamapp_\w+", dashboard_json())) - {"streamapp_prometheus"}
    assert asked <= exported


def test_every_metric_of_a_stage_is_on_it() -> None:
    text = "\n".join(_queries())
    assert [m.name for m in STAGE_METRICS if "stage" in m.labels and m.name not in text] == []


def test_counters_are_shown_as_rates() -> None:
    for expression in _queries():
        for counter in re.findall(r"streamapp_\w+_total", expression):
            assert re.search(rf"(rate|increase)\({counter}", expression)


def test_labels_in_queries_and_legends_belong_to_the_metric() -> None:
    labels = {m.name: set(m.labels) for m in STAGE_METRICS}
    for panel in panels():
        for expression, legend in panel.queries:
            [name] = set(re.findall(r"streamapp_\w+?(?=_bucket|\{)", expression))
            grouped = set(re.findall(r"\w+", re.findall(r"by \((.*?)\)", expression)[0])) - {"le"}
            assert grouped <= labels[name]
            assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= grouped


def test_panels_do_not_overlap() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in dashboard()["panels"]]
    assert len(places) == len(set(places))
    assert all(x + width <= 24 for x, _, width, _ in places)


def test_it_reads_from_the_data_source_that_is_provisioned() -> None:
    file = DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    [source] = yaml.safe_load(file.read_text())["datasources"]
    assert source["uid"] == DATASOURCE_UID
