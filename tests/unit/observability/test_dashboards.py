"""The dashboards: what they ask for exists, and their files are theirs."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamapp.observability.dashboards.catalogue import DASHBOARDS, files
from streamapp.observability.dashboards.dashboard import Dashboard, Panel
from streamapp.observability.dashboards.grafana import annotations, model
from streamapp.observability.definitions import METRICS
from streamapp.observability.metric_definition import MetricKind
from tests.dashboards import chosen
from tests.promtool import promtool

DEPLOY = Path(__file__).parents[3] / "deploy"
LABELS = {metric.name: set(metric.labels) for metric in METRICS}
OF_PROMETHEUS = {"job", "instance", "worker"}
"""Labels that Prometheus and the supervisor add."""

every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)


def panels_of(dashboard: Dashboard) -> list[dict[str, Any]]:
    return [one for one in model(dashboard)["panels"] if one["type"] != "row"]


def expressions_of(dashboard: Dashboard) -> Iterator[str]:
    for panel in panels_of(dashboard):
        yield from (target["expr"] for target in panel["targets"])
    yield from (expression for _, _, expression, _ in annotations(dashboard))


def asked_for(text: str) -> set[str]:
    """Names of the metrics that a text asks for."""
    return {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for name in re.findall(r"streamapp_\w+", text)
        if name not in LABELS
    } | {name for name in re.findall(r"streamapp_\w+", text) if name in LABELS}


def test_the_files_that_are_provisioned_are_what_the_code_draws() -> None:
    folder = DEPLOY / "grafana" / "dashboards"
    kept = {file.name: file.read_text() for file in folder.iterdir()}
    assert kept == dict(files()), f"streamapp dashboards export --folder {folder}"


def test_prometheus_parses_every_expression(tmp_path: Path) -> None:
    every = sorted({chosen(one) for dashboard in DASHBOARDS for one in expressions_of(dashboard)})
    assert not [one for one in every if "$" in one]
    rules = [{"record": f"expression:{n}", "expr": one} for n, one in enumerate(every)]
    group = {"groups": [{"name": "all", "rules": rules}]}
    (tmp_path / "rules.yml").write_text(json.dumps(group))
    checked = promtool("check", "rules", "rules.yml", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(every)} rules found" in checked.stdout


def test_every_metric_of_the_table_is_on_some_dashboard() -> None:
    text = "\n".join(text for _, text in files())
    assert [metric.name for metric in METRICS if metric.name not in asked_for(text)] == []


@every_dashboard
def test_counters_are_shown_as_rates_and_buckets_are_of_histograms(dashboard: Dashboard) -> None:
    kinds = {metric.name: metric.kind for metric in METRICS}
    for expression in expressions_of(dashboard):
        for counter in re.findall(r"streamapp_\w+_total", expression):
            assert re.search(rf"(rate|increase)\({counter}", expression)
        for name in re.findall(r"(streamapp_\w+)_(?:bucket|count)\b", expression):
            assert kinds[name] is MetricKind.HISTOGRAM


@every_dashboard
def test_labels_in_queries_and_legends_belong_to_the_metric(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        for query in panel.queries:
            known = set.union(*(LABELS.get(n, set()) for n in asked_for(query.expression)), set())
            known |= OF_PROMETHEUS
            grouped = [set(re.findall(r"\w+", one)) for one in _groups(query.expression)]
            assert set.union(*grouped, set()) - {"le"} <= known
            legend = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
            assert legend <= (grouped[0] if grouped else known)


def _groups(expression: str) -> list[str]:
    return re.findall(r"by \((.*?)\)", expression)


@every_dashboard
def test_only_variables_of_the_dashboard_are_asked_for(dashboard: Dashboard) -> None:
    declared = {one["name"] for one in model(dashboard)["templating"]["list"]}
    used = {
        name
        for expression in expressions_of(dashboard)
        for name in re.findall(r"\$(\w+)", expression)
        if not name.startswith("__")
    }
    assert used <= declared
    assert declared == {"datasource", *dashboard.variables}


@every_dashboard
def test_everything_reads_from_the_data_source_that_is_chosen(dashboard: Dashboard) -> None:
    found = model(dashboard)
    source = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*panels_of(dashboard), *found["annotations"]["list"]]
    asking += [one for one in found["templating"]["list"] if one["type"] == "query"]
    asking += [target for panel in panels_of(dashboard) for target in panel["targets"]]
    assert all(one["datasource"] == source for one in asking)
    file = DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    [provisioned] = yaml.safe_load(file.read_text())["datasources"]
    assert provisioned["type"] == "prometheus"


@every_dashboard
def test_ids_and_places_are_unique_and_within_the_grid(dashboard: Dashboard) -> None:
    panels = model(dashboard)["panels"]
    assert max(Counter(one["id"] for one in panels).values()) == 1
    taken: Counter[tuple[int, int]] = Counter()
    for place in (one["gridPos"] for one in panels):
        assert place["x"] + place["w"] <= 24
        taken.update(
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )
    assert max(taken.values()) == 1
    for panel in panels_of(dashboard):
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))


def test_uids_are_unique() -> None:
    assert len({one.uid for one in DASHBOARDS}) == len(DASHBOARDS)


@every_dashboard
def test_every_panel_has_a_unit_and_says_how_to_read_it(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        assert panel.unit, panel.title
        assert panel.description.endswith("."), panel.title
        assert _fits(panel), panel.title


def _fits(panel: Panel) -> bool:
    """Whether rates and shares have the unit of one."""
    for query in panel.queries:
        if query.legend in panel.column_units:
            continue
        is_seconds = "_seconds{" in query.expression and "count" not in query.expression
        if is_seconds and panel.unit not in {"s", "none"}:
            return False
    return True


@every_dashboard
def test_deploys_rebalances_and_holds_are_marked(dashboard: Dashboard) -> None:
    assert [name for name, *_ in annotations(dashboard)] == ["Deploys", "Rebalances", "Holds"]


@every_dashboard
def test_dashboards_link_to_one_another_and_keep_what_is_chosen(dashboard: Dashboard) -> None:
    found = model(dashboard)
    [link] = found["links"]
    assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
    assert set(link["tags"]) <= set(found["tags"])
    uids = {one.uid for one in DASHBOARDS}
    assert set(re.findall(r"/d/([\w-]+)", json.dumps(found))) <= uids
