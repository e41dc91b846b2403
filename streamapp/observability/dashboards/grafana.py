"""Writes a dashboard in Grafana's JSON model, which versions 10 to 13 read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from streamapp.observability.dashboards.dashboard import Dashboard, Panel, PanelKind, Query, Row
from streamapp.observability.dashboards.promql import STAGE, narrowed, series

SCHEMA_VERSION = 39
TAG = "streamapp"
_COLUMNS = 24
_STAGE_URL = (
    "/d/streamapp-stage?var-datasource=${datasource}&var-pipeline=${__field.labels.pipeline}"
    "&var-stage=${__field.labels.stage}&${__url_time_range}"
)
_STAGE_URL_OF_ROW = (
    "/d/streamapp-stage?var-datasource=${datasource}&var-pipeline=${__data.fields.pipeline}"
    "&var-stage=${__data.fields.stage}&${__url_time_range}"
)
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_LOOK_BACK = "2m"


def dashboard_json(dashboard: Dashboard) -> str:
    """The text of the file."""
    return orjson.dumps(model(dashboard), option=orjson.OPT_INDENT_2).decode() + "\n"


def model(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "links": [_links()],
        "annotations": {"list": _annotations(dashboard)},
        "templating": {"list": [_source_variable(), *_variables(dashboard)]},
        "panels": list(_panels(dashboard)),
    }


def _links() -> dict[str, Any]:
    return {
        "title": "streamapp",
        "type": "dashboards",
        "tags": [TAG],
        "icon": "external link",
        "tooltip": "The other dashboards of streamapp",
        "url": "",
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def _source_variable() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "options": [],
        "skipUrlSync": False,
    }


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    for name in dashboard.variables:
        of_pipeline = "" if name == "pipeline" else ',pipeline=~"$pipeline"'
        # Stages that do not run are known to an exporter only.
        told = "streamapp_stage_state|streamapp_group_members"
        query = f'label_values({{__name__=~"{told}"{of_pipeline}}}, {name})'
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "regex": "",
            "sort": 1,
            "refresh": 2,
            "hide": 0,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
            "options": [],
            "skipUrlSync": False,
        }


def annotations(dashboard: Dashboard) -> Sequence[tuple[str, str, str, str]]:
    """Name, colour, expression and text of what is marked on the time axis."""
    build = series("build_info")
    rebalanced = f"sum by ({STAGE}) (increase({series('rebalances_total')}[{_LOOK_BACK}])) > 0"
    held = f"max by ({STAGE}) ({series('held_seconds')}) > 0"
    known = dashboard.variables
    return (
        (
            "Deploys",
            "blue",
            f"max by (version) ({build}) unless max by (version) ({build} offset {_LOOK_BACK})",
            "streamapp {{version}} is new",
        ),
        (
            "Rebalances",
            "purple",
            narrowed(rebalanced, known),
            "{{pipeline}} {{stage}}: partitions were assigned",
        ),
        ("Holds", "orange", narrowed(held, known), "{{pipeline}} {{stage}}: records are held"),
    )


def _annotations(dashboard: Dashboard) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "enable": True,
            "hide": False,
            "iconColor": colour,
            "datasource": _SOURCE,
            "titleFormat": name,
            "textFormat": text,
            "target": {
                "refId": name,
                "expr": expression,
                "limit": 100,
                "matchAny": False,
                "tags": [],
                "type": "dashboard",
            },
        }
        for name, colour, expression, text in annotations(dashboard)
    ]


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    """Rows and their panels, each below or right of the one before."""
    number, top = 1, 0
    for row in dashboard.rows:
        yield _row(row, number, top)
        number, top = number + 1, top + 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                left, top, height = 0, top + height, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield _panel(panel, number, place, dashboard.variables)
            number, left, height = number + 1, left + panel.width, max(height, panel.height)
        top += height


def _row(row: Row, number: int, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        "panels": [],
    }


def _panel(
    panel: Panel, number: int, place: Mapping[str, int], variables: Sequence[str]
) -> dict[str, Any]:
    made = {
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind.value,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _OPTIONS[panel.kind],
        "targets": [_target(panel, query, i, variables) for i, query in enumerate(panel.queries)],
    }
    if panel.kind is PanelKind.TABLE:
        made["transformations"] = _columns(panel)
    return made


def _target(panel: Panel, query: Query, number: int, variables: Sequence[str]) -> dict[str, Any]:
    form = {PanelKind.TABLE: "table", PanelKind.HEATMAP: "heatmap"}
    at_once = panel.kind in (PanelKind.TABLE, PanelKind.STAT)
    return {
        "refId": _reference(number),
        "datasource": _SOURCE,
        "editorMode": "code",
        "expr": narrowed(query.expression, variables),
        "legendFormat": query.legend,
        "instant": at_once,
        "range": not at_once,
        "format": form.get(panel.kind, "time_series"),
        # Traces that go with the buckets of a histogram.
        "exemplar": "_bucket" in query.expression and not at_once,
    }


def _reference(number: int) -> str:
    return chr(ord("A") + number)


def _defaults(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = {"unit": panel.unit}
    if panel.kind is PanelKind.TIME_SERIES:
        found["min"] = 0
        found["custom"] = {"fillOpacity": 8, "lineWidth": 1, "spanNulls": False}
    if panel.kind is PanelKind.STATE_TIMELINE:
        found["custom"] = {"fillOpacity": 70, "lineWidth": 0}
        found["mappings"] = [_mapping(panel)]
    if panel.links_to_stage:
        url = _STAGE_URL_OF_ROW if panel.kind is PanelKind.TABLE else _STAGE_URL
        found["links"] = [{"title": "Show the stage", "url": url, "targetBlank": False}]
    return found


def _mapping(panel: Panel) -> dict[str, Any]:
    options = {
        str(value): {"text": text, "color": colour, "index": value}
        for value, (text, colour) in panel.words.items()
    }
    return {"type": "value", "options": options}


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    """Units of columns, and the words of the column `level`."""
    found = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "unit", "value": unit}],
        }
        for name, unit in panel.column_units.items()
    ]
    if panel.kind is PanelKind.TABLE and panel.words:
        coloured = {"id": "custom.cellOptions", "value": {"type": "color-text"}}
        mapped = {"id": "mappings", "value": [_mapping(panel)]}
        matcher = {"id": "byName", "options": "level"}
        found.append({"matcher": matcher, "properties": [mapped, coloured]})
    return found


def _columns(panel: Panel) -> list[dict[str, Any]]:
    """One table of all queries, whose columns have the names of the queries."""
    one = len(panel.queries) == 1
    names = {
        "Value" if one else f"Value #{_reference(i)}": query.legend
        for i, query in enumerate(panel.queries)
    }
    organised = {
        "id": "organize",
        "options": {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": names},
    }
    sorted_ = {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "place"}]}}
    by_place = [sorted_] if "place" in names.values() else []
    return [{"id": "merge", "options": {}}, organised, *by_place]


_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_REDUCED = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Mapping[PanelKind, Mapping[str, Any]] = {
    PanelKind.TIME_SERIES: {
        "legend": _LEGEND,
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    PanelKind.STAT: {
        "reduceOptions": _REDUCED,
        "colorMode": "none",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    },
    PanelKind.TABLE: {"showHeader": True, "cellHeight": "sm", "frameIndex": 0},
    PanelKind.HEATMAP: {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "steps": 64,
            "exponent": 0.5,
            "fill": "dark-orange",
            "reverse": False,
        },
        "yAxis": {"axisPlacement": "left", "unit": "s", "reverse": False},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "showValue": "never",
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
    },
    PanelKind.STATE_TIMELINE: {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": _LEGEND,
        "tooltip": {"mode": "single", "sort": "none"},
    },
}
