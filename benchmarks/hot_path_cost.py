"""What the runtime does for each record, counted and not timed: a check that CI can make.

`python -m benchmarks.hot_path_cost [--write]` runs a segment without sockets, on time that stands
still, with two numbers of records; the difference is what further records cost, start and end left
out. Counted are instructions of Python's virtual machine, calls of compiled functions, memory for
each record in flight, and blocks of memory that stay. `--write` makes them the budget to which
tests/performance holds the runtime. What compiled code does within a call is not seen.
"""

import argparse
import gc
import json
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks import virtual_loop
from benchmarks.hot_path import Log, make_log, run_segment
from benchmarks.streamapp_stage import AGENTS
from streamapp.native_leaves import SELECTED

BUDGET = Path(__file__).parent / "hot_path_budget.json"
SIZES = (500, 1500)
KEYS = 100
"""All of them are in the smaller number of records: the first record of a key costs more."""

HEADROOM = 1.03
"""Counts are the same each time; a line of log that is turned off is more than this."""

SLACK = {"bytes_in_flight": 16.0, "blocks_that_stay": 0.1}
"""What memory may differ by from run to run, besides."""

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}" + (
    " native" if SELECTED.is_native else ""
)
ROOT = Path(__file__).parents[1]

Cost = dict[str, float]
"""For each record: `instructions`, `calls`, `bytes_in_flight`, `blocks_that_stay`."""


def count_instructions(work: Callable[[], None]) -> Counter[CodeType]:
    """Instructions that the work executes, by the code that they belong to."""
    found: Counter[CodeType] = Counter()

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            found[frame.f_code] += 1
        return local

    def begin(frame: FrameType, _event: str, _: Any) -> Any:
        if frame.f_code.co_filename == virtual_loop.__file__:
            return None  # the real clock has no instructions
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return local

    before = sys.gettrace()
    sys.settrace(begin)
    try:
        work()
    finally:
        sys.settrace(before)
    return found


def count_calls(work: Callable[[], None]) -> int:
    """Calls of compiled functions that the work makes."""
    found = 0

    def note(_frame: FrameType, event: str, _: Any) -> None:
        nonlocal found
        found += event == "c_call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found


def peak_bytes(work: Callable[[], None]) -> int:
    """Most bytes that the work has at one time, before garbage of cycles is collected.

    When the collector runs hangs on all that was allocated before: with it, one tree gave 662 bytes
    for a record in one process and 694 in another.
    """
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()


def blocks_that_stay(work: Callable[[], None]) -> int:
    """Blocks of memory that the work leaves behind."""
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    return sys.getallocatedblocks() - before


def instructions_by_code(mode: str) -> Counter[CodeType]:
    """Where the instructions for further records are."""
    few, many = (count_instructions(work) for work in _works(mode))
    many.subtract(few)
    return many


def count_instructions_of_a_record(mode: str) -> float:
    """Instructions for a further record."""
    return round(instructions_by_code(mode).total() / (SIZES[1] - SIZES[0]), 2)


def measure(mode: str) -> Cost:
    """What a further record costs."""
    works = _works(mode)
    works[0]()  # imports, and whatever is made once

    def each(count: Callable[[Callable[[], None]], float]) -> float:
        few, many = (count(work) for work in works)
        return round((many - few) / (SIZES[1] - SIZES[0]), 2)

    return {
        "instructions": count_instructions_of_a_record(mode),
        "calls": each(count_calls),
        "bytes_in_flight": each(peak_bytes),
        "blocks_that_stay": each(blocks_that_stay),
    }


def _works(mode: str) -> list[Callable[[], None]]:
    return [_work(make_log(size, KEYS), mode) for size in SIZES]


def _work(log: Log, mode: str) -> Callable[[], None]:
    return lambda: virtual_loop.run(run_segment(log, mode, virtual_loop.LoopClock()))


def read_budget() -> dict[str, dict[str, Cost]]:
    """By version of Python, with `native` behind it for the native leaves, and by mode."""
    found: dict[str, dict[str, Cost]] = json.loads(BUDGET.read_text())
    return found


def over_budget(cost: Cost, budget: Cost) -> list[str]:
    """What costs more than it may, in words."""
    return [
        f"{name}: {cost[name]:,.2f} for each record, {allowed:,.2f} in the budget"
        for name, allowed in budget.items()
        if cost[name] > allowed * HEADROOM + SLACK.get(name, 0.0)
    ]


def _print_where(mode: str) -> None:
    counted = instructions_by_code(mode)
    further = SIZES[1] - SIZES[0]
    for code, count in counted.most_common(25):
        path = Path(code.co_filename)
        place = path.relative_to(ROOT) if path.is_relative_to(ROOT / "streamapp") else path.name
        print(f"  {count / further:7.2f}  {place}: {code.co_qualname}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="make it the budget")
    parser.add_argument("--where", action="store_true", help="show whose instructions they are")
    arguments = parser.parse_args()
    found = {mode: measure(mode) for mode in AGENTS}
    for mode, cost in found.items():
        print(mode, ", ".join(f"{name} {value:,.2f}" for name, value in cost.items()))
        if arguments.where:
            _print_where(mode)
    if arguments.write:
        kept = read_budget() if BUDGET.exists() else {}
        BUDGET.write_text(json.dumps(kept | {VERSION: found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
