"""What a dashboard is: rows of panels with queries. `grafana` writes it in Grafana's JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class PanelKind(StrEnum):
    """Grafana's panel types that are used."""

    TIME_SERIES = "timeseries"
    STAT = "stat"
    TABLE = "table"
    HEATMAP = "heatmap"
    STATE_TIMELINE = "state-timeline"


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel.

    Attributes:
        expression: PromQL with the variables of the dashboard.
        legend: name of a line, with labels as `{{stage}}`; of a column in a table.
    """

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        description: how to read it, in a sentence or two.
        unit: Grafana's name of the unit of its values.
        queries: its queries.
        kind: how it shows them.
        width: columns of 24.
        height: in rows of Grafana's grid.
        words: of values that stand for words, the word and colour of each.
        column_units: of a table, the units of columns by their names, where they have one.
        links_to_stage: whether a row or line of it leads to the dashboard of its stage.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: PanelKind = PanelKind.TIME_SERIES
    width: int = 8
    height: int = 8
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    column_units: Mapping[str, str] = field(default_factory=dict)
    links_to_stage: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, from left to right and top to bottom."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard.

    Attributes:
        name: name of its file, and after `streamapp-` its uid.
        title: its title in Grafana.
        description: what question it answers.
        variables: names of its variables, of `pipeline` and `stage`.
        rows: its rows.
    """

    name: str
    title: str
    description: str
    variables: Sequence[str]
    rows: Sequence[Row]

    @property
    def uid(self) -> str:
        """Its uid, by which others link to it."""
        return f"streamapp-{self.name}"

    @property
    def panels(self) -> Sequence[Panel]:
        """The panels of all rows."""
        return [panel for row in self.rows for panel in row.panels]
