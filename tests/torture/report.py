"""Reports outcomes: a table for the terminal, and Markdown for the page."""

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from streamapp.local_kafka.jars import KAFKA_VERSION
from tests.torture.outcome import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN = "<!-- made by `make {}`: {} -->"
END = "<!-- end: {} -->"

_HEADS = ("scenario", "seen", "sent", "lost", "repeated", "inverted", "recovered", "verdict")


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """One line for each run."""
    rows = [_HEADS, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADS))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def violations(outcome: Outcome) -> Iterator[str]:
    """The violations of all runs."""
    yield from (f"  {outcome.scenario}: {sentence}" for sentence in outcome.violations)


def record(outcome: Outcome, found: Sequence[Outcome]) -> str:
    """The outcome of one scenario in Markdown; `found` are its runs with planted bugs."""
    counts = outcome.counts
    lines = ["| | |", "| --- | --- |"]
    lines += [f"| asked: {name} | {text} |" for name, text in outcome.asked.items()]
    lines += [f"| fired: {name} | {count:,} |" for name, count in sorted(outcome.faults.items())]
    if counts is not None:
        lines += [
            f"| sends acknowledged, unknown | {counts.acknowledged:,}, {counts.unknown:,} |",
            f"| in the source, in the sink | {counts.source:,}, {counts.outputs:,} |",
            f"| **lost** | **{counts.lost:,}** |",
            f"| repeated | {counts.duplicates:,} |",
            f"| inversions within a key | {counts.inversions:,} |",
            f"| in dead letters | {counts.dead_letters:,} |",
        ]
    if outcome.recovery_seconds is not None:
        lines.append(f"| longest recovery | {outcome.recovery_seconds:.1f} s |")
    lines += [f"| {name} | {text} |" for name, text in outcome.figures.items()]
    lines += [f"| planted bug `{one.mutant}` | {_fate(one)} |" for one in found]
    lines.append(f"| run took | {outcome.seconds:.0f} s, on {_conditions()} |")
    lines.append(f"| verdict | **{'pass' if outcome.ok else 'FAIL'}** |")
    lines += [f"| not as it should be | {sentence} |" for sentence in outcome.violations]
    return "\n".join(lines)


def row(outcome: Outcome) -> str:
    """One scenario as a line of the page's first table."""
    _name, *cells = _row(outcome)
    link = f"[{outcome.scenario}](#{outcome.scenario})"
    return f"| {' | '.join((link, *cells))} |"


def put_row(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the line of this scenario in the page's first table.

    Raises:
        ValueError: the table has no such line.
    """
    lines = page.read_text().splitlines()
    places = [i for i, line in enumerate(lines) if line.startswith(f"| [{name}](")]
    if len(places) != 1:
        raise ValueError(f"{page} has {len(places)} lines of {name!r} in its first table")
    lines[places[0]] = text
    page.write_text("\n".join(lines) + "\n")


def put(name: str, text: str, page: Path = PAGE, *, target: str = "torture") -> None:
    """Replace the text between the markers of this name, which is the target that makes it.

    Raises:
        ValueError: the page does not have the markers.
    """
    begin, end = BEGIN.format(target, name), END.format(name)
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} has no place for {name!r}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _conditions() -> str:
    """The date, the versions and the machine."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, aiokafka {version('aiokafka')},"
        f" Apache Kafka {KAFKA_VERSION}"
    )


def _row(outcome: Outcome) -> tuple[str, ...]:
    name = outcome.scenario + (f" + {outcome.mutant}" if outcome.mutant else "")
    faults = f"{outcome.faults.total():,}"
    counts = outcome.counts
    if counts is None:
        return (name, faults, "-", "-", "-", "-", "-", _verdict(outcome))
    recovered = outcome.recovery_seconds
    return (
        name,
        faults,
        f"{counts.acknowledged:,}",
        f"{counts.lost:,}",
        f"{counts.duplicates:,}",
        f"{counts.inversions:,}",
        "-" if recovered is None else f"{recovered:.1f} s",
        _verdict(outcome),
    )


def _verdict(outcome: Outcome) -> str:
    if outcome.mutant:
        return "found" if outcome.caught else "NOT FOUND"
    return "pass" if outcome.ok else "FAIL"


def _fate(outcome: Outcome) -> str:
    counts = outcome.counts
    if not outcome.caught or counts is None:
        return "**not found**"
    found = {
        "lost": counts.lost,
        "inverted": counts.inversions,
        "in dead letters": counts.dead_letters,
        "commits moved back": outcome.faults["commits moved back"],
        "attempts too early": outcome.early,
    }
    return "found: " + ", ".join(f"{count:,} {word}" for word, count in found.items() if count)
