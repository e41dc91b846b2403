"""Medians, spreads and ratios of runs, and the table that shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measurement

Figures: TypeAlias = dict[str, float]
"""`median`, `least` and `most` of all runs."""

Summary: TypeAlias = dict[str, dict[str, str | Figures | float]]
"""What each contender achieved, by its name."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contender; `beside` names what it is compared with."""

    name: str
    beside: str | None
    records: int
    cost: Measurement

    @property
    def per_wall_second(self) -> float:
        """Records in a second."""
        return self.records / self.cost.wall_seconds

    @property
    def per_cpu_second(self) -> float:
        """Records in a second of the process's CPU time."""
        return self.records / self.cost.cpu_seconds

    @property
    def cpu_us_per_record(self) -> float:
        """CPU microseconds for each record."""
        return self.cost.cpu_seconds / self.records * 1e6

    def as_json(self) -> dict[str, object]:
        """Its raw figures."""
        return {"name": self.name, "records": self.records, **asdict(self.cost)}

    def __str__(self) -> str:
        return (
            f"{self.name:20} {self.per_wall_second:8,.0f}/s"
            f" {self.per_cpu_second:8,.0f}/CPU s {self.cpu_us_per_record:6.2f} µs/record"
        )


def summary(runs: Sequence[Run]) -> Summary:
    """Medians with spread; ratios are taken within each round, then their median.

    `ratio_to_hand_loop` is by CPU second, for the playback pipeline to its unfused form.
    """
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    found: Summary = {}
    for name, own in by_name.items():
        found[name] = {
            "records_per_wall_second": _figures([run.per_wall_second for run in own]),
            "records_per_cpu_second": _figures([run.per_cpu_second for run in own]),
            "cpu_us_per_record": _figures([run.cpu_us_per_record for run in own]),
            "peak_rss_mb": _figures([run.cost.peak_rss_mb for run in own]),
        }
        beside = own[0].beside
        if beside is None:
            continue
        pairs = list(zip(own, by_name[beside], strict=True))
        by_cpu = _figures([run.per_cpu_second / other.per_cpu_second for run, other in pairs])
        by_wall = _figures([run.per_wall_second / other.per_wall_second for run, other in pairs])
        found[name] |= {"beside": beside, "ratio_by_cpu": by_cpu, "ratio_by_wall": by_wall}
        key = "ratio_to_hand_loop" if beside.startswith("hand_loop") else "ratio_to_unfused"
        found[name][key] = by_cpu["median"]
    return found


def print_table(peers: Mapping[str, Mapping[str, object]]) -> None:
    """Show medians, with least and most."""
    table = Table(title="medians (least to most)")
    table.add_column("contender", no_wrap=True)
    columns = {
        "records_per_wall_second": ("records/s", ",.0f"),
        "records_per_cpu_second": ("per CPU second", ",.0f"),
        "cpu_us_per_record": ("CPU µs/record", ".2f"),
        "peak_rss_mb": ("peak MB", ".0f"),
        "ratio_by_cpu": ("ratio by CPU", ".2f"),
        "ratio_by_wall": ("by wall", ".2f"),
    }
    for title, _ in columns.values():
        table.add_column(title, justify="right", no_wrap=True)
    for name, peer in peers.items():
        cells = [_cell(peer.get(key), form) for key, (_, form) in columns.items()]
        table.add_row(name, *cells)
    Console(width=190).print(table)


def _figures(values: Sequence[float]) -> Figures:
    return {
        "median": round(median(values), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def _cell(figures: object, form: str) -> str:
    if not isinstance(figures, dict):
        return ""
    middle, least, most = (format(figures[key], form) for key in ("median", "least", "most"))
    return f"{middle} ({least} to {most})"
