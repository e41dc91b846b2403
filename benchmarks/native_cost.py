"""What the native leaves do for each record, counted and not timed: a check that CI can make.

`python -m benchmarks.native_cost [--write]` has valgrind count the machine instructions of
`native_cost_work.py`, those within the native module alone, with two numbers of records; the
difference is what a further record costs. `--write` makes them the budget to which
tests/performance holds the leaves. Another compiler makes other instructions: a budget is that of
one version of rustc on one kind of processor.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from streamapp.native_leaves import SELECTED

BUDGET = Path(__file__).parent / "native_cost_budget.json"
WORK = Path(__file__).parent / "native_cost_work.py"
SIZES = (500, 1500)
DEADLINE_SECONDS = 120

TOLERANCE = 0.03
"""Counts differ by less than a thousandth; what saves more than this is to become the budget."""

RENEW = "`python -m benchmarks.native_cost --write` writes it, and the commit says why"

Cost = dict[str, float]
"""Machine instructions for each record, by leaf."""


class NotCountedError(Exception):
    """The machine cannot count instructions, or there are none to count."""


def module_file() -> Path:
    """The compiled module.

    Raises:
        NotCountedError: the leaves in Python run.
    """
    if SELECTED.module is None:
        raise NotCountedError(f"{SELECTED.sentence}; `make native` installs the native ones")
    folder = Path(str(SELECTED.module.__file__)).parent
    return next(folder.glob("*.so"))


def compiler(module: Path) -> str:
    """The version of rustc that made a module, and the kind of processor."""
    found = re.search(rb"rustc version (\d[\w.-]*)", module.read_bytes())
    return f"rustc {found[1].decode() if found else 'unknown'}, {platform.machine()}"


def measure() -> Cost:
    """Machine instructions for a further record, by leaf.

    Raises:
        NotCountedError: valgrind is missing, or the leaves in Python run.
    """
    module = module_file()
    if not (valgrind := shutil.which("valgrind")):
        raise NotCountedError("no valgrind, which counts instructions: `apt-get install valgrind`")
    with tempfile.TemporaryDirectory(prefix="streamapp-native-cost-") as folder:
        done = subprocess.run(  # noqa: S603 - our own script
            [
                *(valgrind, "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/%p"),
                *("--compress-strings=no", "--compress-pos=no"),
                *(sys.executable, "-I", "-S", str(WORK), str(module.parent.parent)),
                *map(str, SIZES),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        if done.returncode:
            raise NotCountedError(f"valgrind ended with {done.returncode}: {done.stderr.strip()}")
        counted: dict[str, list[int]] = {}
        for line in done.stdout.splitlines():
            leaf, _, process = line.split()
            counted.setdefault(leaf, []).append(_instructions(Path(folder, process), module))
    return {
        leaf: round((many - few) / (SIZES[1] - SIZES[0]), 1)
        for leaf, (few, many) in counted.items()
    }


def _instructions(counts: Path, module: Path) -> int:
    """Instructions of a module itself: without what it calls, and without its callers."""
    with counts.open() as lines:
        return sum(_own_costs(lines, f"ob={module.resolve()}"))


def _own_costs(lines: Iterator[str], wanted: str) -> Iterator[int]:
    """See https://valgrind.org/docs/manual/cl-format.html."""
    is_wanted = False
    for line in lines:
        if line.startswith("ob="):
            is_wanted = line.strip() == wanted
        elif line.startswith("calls="):
            next(lines)  # what the function that is called has cost
        elif is_wanted and line[0].isdigit():
            yield int(line.split()[1])


def read_budget() -> dict[str, Cost]:
    """By compiler and kind of processor."""
    found: dict[str, Cost] = json.loads(BUDGET.read_text())
    return found


def budget_of(made_by: str, budgets: dict[str, Cost]) -> Cost:
    """The budget of the compiler that made the module.

    Raises:
        NotCountedError: there is none, and another's would say nothing.
    """
    if made_by not in budgets:
        raise NotCountedError(
            f"{BUDGET.name} has no budget of {made_by}, only of {'; '.join(budgets)}, and another"
            f" compiler makes other instructions. {RENEW}"
        )
    return budgets[made_by]


def off_budget(cost: Cost, budget: Cost) -> list[str]:
    """What costs more than it may, or so much less that the budget holds it no longer, in words."""
    return [
        f"{leaf}: {cost.get(leaf, 0):,.1f} machine instructions for each record,"
        f" {budget.get(leaf, 0):,.1f} in the budget"
        for leaf in sorted({*cost, *budget})
        if abs(cost.get(leaf, 0) - budget.get(leaf, 0)) > budget.get(leaf, 0) * TOLERANCE
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="make it the budget")
    arguments = parser.parse_args()
    try:
        made_by, cost = compiler(module_file()), measure()
    except NotCountedError as error:
        raise SystemExit(str(error)) from None
    print(made_by)
    for leaf, count in cost.items():
        print(f"  {leaf:13} {count:8,.1f}")
    if arguments.write:
        kept = read_budget() if BUDGET.exists() else {}
        BUDGET.write_text(json.dumps(kept | {made_by: cost}, indent=2) + "\n")


if __name__ == "__main__":
    main()
