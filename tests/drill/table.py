"""The table of the drill in docs/operating.md: one row for each fault."""

from dataclasses import dataclass

from tests.cli import ROOT
from tests.drill.faults import FAULTS, Fault

PATH = ROOT / "docs" / "operating.md"
HEAD = "| fault | cause | status | page | `lag --why` | alerts | cleared after |"
RULE = "|---|---|---|---|---|---|---|"
NAMED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """How a fault went; seconds are `None` for what did not come.

    Attributes:
        name: the fault.
        status, page, why: seconds until each has named its cause.
        pending: seconds until each alert that lasted was pending, or fired after the repair.
        cleared: seconds from the repair until nothing was wrong and no alert was left.
        amiss: what was wrong with the page.
    """

    name: str
    status: float | None
    page: float | None
    why: float | None
    pending: dict[str, float]
    cleared: float | None
    amiss: tuple[str, ...] = ()

    @property
    def fault(self) -> Fault:
        """What was done."""
        return FAULTS[self.name]

    @property
    def unexpected(self) -> list[str]:
        """Alerts that are not to be."""
        return sorted(self.pending.keys() - {self.fault.alert} - self.fault.follows)

    @property
    def complaints(self) -> list[str]:
        """All that was not as it has to be."""
        found = [*self.amiss, *(f"unexpected alert {one}" for one in self.unexpected)]
        if self.cleared is None:
            found.append("not cleared")
        if self.fault.cause:
            named = {"status": self.status, "page": self.page, "lag --why": self.why}
            found += [f"not named by {who}" for who, seconds in named.items() if seconds is None]
            if self.pending.get(self.fault.alert, NAMED_SECONDS) >= NAMED_SECONDS:
                found.append(f"no alert {self.fault.alert}")
        return found

    def line(self) -> str:
        """The row of the table."""
        cause = f"`{self.fault.cause}`" if self.fault.cause else "-"
        named = [_seconds(one) for one in (self.status, self.page, self.why)]
        if not self.fault.cause:
            named = ["-"] * 3
        first = [self.fault.alert] if self.fault.alert in self.pending else []
        rest = sorted(self.pending.keys() - {self.fault.alert}, key=self.pending.__getitem__)
        alerts = ", ".join(f"{one} {self.pending[one]:.0f} s" for one in [*first, *rest])
        cleared = _seconds(self.cleared) if self.fault.cause else "-"
        return f"| {self.name} | {cause} | {' | '.join(named)} | {alerts or 'none'} | {cleared} |"


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def write(rows: list[Row]) -> None:
    """Replace these rows in the document, and leave the others as they are."""
    before, _, rest = PATH.read_text().partition(f"{HEAD}\n{RULE}\n")
    had, _, after = rest.partition("\n\n")
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in had.splitlines()}
    lines |= {row.name: row.line() for row in rows}
    table = "\n".join(lines[name] for name in FAULTS if name in lines)
    PATH.write_text(f"{before}{HEAD}\n{RULE}\n{table}\n\n{after}")
