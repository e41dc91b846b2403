"""Medians, spreads and ratios of runs, and the table that shows them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

from benchmarks.check import Findings, worst
from benchmarks.contenders import CONTENDERS, OURS, TARGETS
from benchmarks.figures import Figures, cell, spread
from benchmarks.measure import Measurement

Summary: TypeAlias = dict[str, dict[str, str | Figures | float]]
"""What each contender achieved, by its name."""

AHEAD_OF = {one.name: one for one in CONTENDERS if one.is_to_beat}
"""The contenders that this project is compared with, beside its own shapes."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contender.

    Attributes:
        name: of the contender.
        beside: name of what it is compared with.
        records: how many it had.
        cost: what it took.
        findings: what its outputs and offsets are found not to keep.
    """

    name: str
    beside: str | None
    records: int
    cost: Measurement
    findings: Findings = field(default_factory=Findings)

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
        return {
            "name": self.name,
            "records": self.records,
            **asdict(self.cost),
            "records_per_wall_second": round(self.per_wall_second, 1),
            "records_per_cpu_second": round(self.per_cpu_second, 1),
            "findings": asdict(self.findings),
        }

    def __str__(self) -> str:
        return (
            f"{self.name:28} {self.per_wall_second:8,.0f}/s"
            f" {self.per_cpu_second:8,.0f}/CPU s {self.cpu_us_per_record:6.2f} µs/record"
            f"  {self.findings}"
        )


def summary(runs: Sequence[Run]) -> Summary:
    """Medians with spread; ratios are taken within each round, then their median.

    `ratio_by_cpu` and `ratio_by_wall` are to the contender that it is `beside`; `ahead_by_wall` and
    `ahead_by_cpu` are how many times a peer's throughput ours is.
    """
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    found: Summary = {}
    for name, own in by_name.items():
        found[name] = {
            "records": own[0].records,
            "records_per_wall_second": spread([run.per_wall_second for run in own]),
            "records_per_cpu_second": spread([run.per_cpu_second for run in own]),
            "cpu_us_per_record": spread([run.cpu_us_per_record for run in own]),
            "peak_rss_mb": spread([run.cost.peak_rss_mb for run in own]),
            "findings": str(worst([run.findings for run in own])),
        }
        if (beside := own[0].beside) is not None:
            by_wall, by_cpu = _ratios(own, by_name[beside])
            found[name] |= {"beside": beside, "ratio_by_cpu": by_cpu, "ratio_by_wall": by_wall}
        if name in AHEAD_OF and OURS in by_name:
            by_wall, by_cpu = _ratios(by_name[OURS], own)
            found[name] |= {"ahead_by_wall": by_wall, "ahead_by_cpu": by_cpu}
    return found


def print_table(peers: Summary) -> None:
    """Show medians, with least and most."""
    columns = {
        "records_per_wall_second": ("records/s", ",.0f"),
        "records_per_cpu_second": ("per CPU second", ",.0f"),
        "cpu_us_per_record": ("CPU µs/record", ".2f"),
        "peak_rss_mb": ("peak MB", ".0f"),
        "ratio_by_cpu": ("ratio by CPU", ".2f"),
        "ratio_by_wall": ("by wall", ".2f"),
    }
    table = Table(title="medians (least to most)")
    table.add_column("contender", no_wrap=True)
    for title in ("records", *(title for title, _ in columns.values())):
        table.add_column(title, justify="right", no_wrap=True)
    for name, peer in peers.items():
        cells = [cell(peer.get(key), form) for key, (_, form) in columns.items()]
        table.add_row(name, f"{peer['records']:,}", *cells)
    Console(width=200).print(table)


def print_ahead(peers: Summary) -> None:
    """Show how far ahead of each peer this project is, and what the peer does not keep."""
    table = Table(title=f"{OURS}, times the throughput of")
    for title in ("contender", "by wall", "aim", "by CPU", "aim"):
        table.add_column(title, no_wrap=True)
    table.add_column("what it does not keep")
    for name, peer in peers.items():
        if "ahead_by_wall" not in peer:
            continue
        wall, cpu = aims(name)
        notes = "; ".join(filter(None, (str(peer["findings"]), AHEAD_OF[name].lacks)))
        by_wall, by_cpu = (cell(peer[key], ".2f") for key in ("ahead_by_wall", "ahead_by_cpu"))
        table.add_row(name, by_wall, wall, by_cpu, cpu, notes)
    if table.row_count:
        Console(width=200).print(table)


def aims(name: str) -> tuple[str, str]:
    """What is aimed at, by wall and by CPU second."""
    target = TARGETS.get(name)
    return (f"{target.by_wall:g}", f"{target.by_cpu:g}") if target else ("", "")


def _ratios(own: Sequence[Run], others: Sequence[Run]) -> tuple[Figures, Figures]:
    """By wall and by CPU second, of the runs of each round."""
    pairs = list(zip(own, others, strict=True))
    return (
        spread([run.per_wall_second / other.per_wall_second for run, other in pairs]),
        spread([run.per_cpu_second / other.per_cpu_second for run, other in pairs]),
    )
