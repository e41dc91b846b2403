"""Run the contenders side by side on a real Kafka, and print and write what they cost.

`python -m benchmarks.run [--records N] [--runs N] [--only NAME ...]`
"""

import argparse
import asyncio
from collections.abc import Collection

from benchmarks import load
from benchmarks.contenders import CONTENDERS, OURS, Contender
from benchmarks.figures import write
from benchmarks.report import print_ahead, print_table, summary
from benchmarks.rounds import run_all
from benchmarks.testbed import broker, machine
from streamapp.native_leaves import SELECTED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000, help="playback takes half of them")
    parser.add_argument("--runs", type=int, default=3, help="after one to warm up")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[one.name for one in CONTENDERS],
        default=[],
        help="these, and what they are compared with; then nothing is written",
    )
    return parser.parse_args()


def _chosen(only: Collection[str]) -> list[Contender]:
    """Add the yardstick and this project to the chosen peers."""
    if not only:
        return list(CONTENDERS)
    named = [one for one in CONTENDERS if one.name in only]
    needed = {*only, *(one.beside for one in named)}
    if any(one.is_peer for one in named):
        needed.add(OURS)
    return [one for one in CONTENDERS if one.name in needed]


def main() -> None:
    arguments = _arguments()
    chosen = _chosen(arguments.only)
    if absent := sorted({one.environment for one in chosen if not one.python.exists()}):
        raise SystemExit(f"not installed: {', '.join(absent)}. `make peers` installs them.")
    described = machine()
    if not SELECTED.is_native:
        print(f"{SELECTED.sentence}; so streamapp.* and their twins are the same. `make native`")
    with broker() as servers:
        runs = asyncio.run(run_all(servers, chosen, arguments.records, arguments.runs))
    peers = summary(runs)
    print_table(peers)
    print_ahead(peers)
    if not arguments.only:
        settings = {"records": arguments.records, "runs": arguments.runs, "keys": load.KEYS}
        raw = [run.as_json() for run in runs]
        write("latest", "make bench", described, settings=settings, peers=peers, runs=raw)


if __name__ == "__main__":
    main()
