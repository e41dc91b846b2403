"""`python -m tests.torture`: runs the fault tests in full and writes their results to a page.

`--only NAME` runs one scenario, `--short` the short forms, `--mutant NAME` plants one bug. Without
these, every scenario is run as it is, and then in short with each bug that it has to find. It exits
with 1 if a record was lost, a bug was not found, or any other check failed.
"""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.torture import report
from tests.torture.outcome import Outcome
from tests.torture.runner import SCENARIOS, ground, play


def main() -> int:
    """Run what the arguments say; returns the exit code."""
    args = _arguments()
    for number in (signal.SIGTERM, signal.SIGINT):  # else workers would be left behind
        signal.signal(number, signal.default_int_handler)
    logging.basicConfig(level=logging.CRITICAL)  # clients complain of what is done to them
    outcomes: list[Outcome] = []
    failed = False
    for name in args.only or SCENARIOS:
        honest, mutants = _play(name, args)
        outcomes += [*honest, *mutants]
        failed |= any(not one.ok for one in honest) or any(not one.caught for one in mutants)
        if honest and args.write:
            report.put(name, report.record(honest[0], mutants))
            report.put_row(name, report.row(honest[0]))
    _say("")
    for line in report.table(outcomes):
        _say(line)
    for outcome in outcomes:
        if not outcome.mutant:
            for line in report.violations(outcome):
                _say(line)
    return 1 if failed else 0


def _play(name: str, args: argparse.Namespace) -> tuple[list[Outcome], list[Outcome]]:
    """Run a scenario as it is, and then with each planted bug."""
    honest = [] if args.mutant else [_one(name, None, short=args.short)]
    planted: Sequence[str] = args.mutant or SCENARIOS[name].mutants
    mutants = [] if args.no_mutants else [_one(name, bug, short=True) for bug in planted]
    return honest, mutants


def _one(name: str, mutant: str | None, *, short: bool) -> Outcome:
    """One run on a broker of its own; its files are kept only if a check failed."""
    scenario = SCENARIOS[name]
    what = f"{name}{' with the bug ' + mutant if mutant else ''}{' (short)' if short else ''}"
    _say(f"{what}: {scenario.title} ...")
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{name}-"))
    scale = scenario.short if short else scenario.full
    outcome = asyncio.run(_on_its_own(folder, name, mutant, scale))
    if outcome.ok or mutant:
        shutil.rmtree(folder)
    else:
        _say(f"  what the workers said is in {folder}")
    for line in _told(outcome):
        _say(f"  {line}")
    return outcome


async def _on_its_own(folder: Path, name: str, mutant: str | None, scale: Any) -> Outcome:
    async with ground(folder, nodes=SCENARIOS[name].nodes) as own:
        return await play(name, own, scale=scale, mutant=mutant)


def _told(outcome: Outcome) -> Iterator[str]:
    faults = ", ".join(f"{count} {name}" for name, count in outcome.faults.items())
    yield f"{outcome.seconds:.0f} s; {faults or 'no fault fired'}"
    yield from (f"{name}: {text}" for name, text in outcome.figures.items())
    yield from outcome.violations


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="SCENARIO")
    parser.add_argument("--short", action="store_true", help="the forms that run in CI")
    parser.add_argument("--mutant", nargs="+", metavar="BUG", help="plant these instead")
    parser.add_argument("--no-mutants", action="store_true", help="plant no bugs")
    parser.add_argument("--write", action="store_true", help=f"into {report.PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
