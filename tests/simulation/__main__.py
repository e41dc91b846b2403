"""Runs many seeds, or repeats one: `python -m tests.simulation --seeds 10000`, `--seed 7`."""

import argparse
import signal
import sys
import time
from contextlib import nullcontext

from tests.simulation.batch import Batch, run_parallel
from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import simulate


def main() -> int:
    """Run the seeds and print what failed; returns 0, or 1 if a promise was broken."""
    arguments = _arguments()
    if arguments.seed is not None:
        return _replay(arguments.seed, arguments.mutant)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    started = time.monotonic()

    told: set[int] = set()

    def on_progress(so_far: Batch) -> None:
        for seed in sorted(so_far.failed.keys() - told):
            print(f"seed {seed}: {so_far.failed[seed]}", file=sys.stderr, flush=True)
        told.update(so_far.failed)
        rate = so_far.seeds / max(time.monotonic() - started, 1e-9)
        line = f"{so_far.seeds} of {len(seeds)} seeds, {len(so_far.failed)} failed, {rate:.0f}/s"
        if sys.stderr.isatty():
            print(f"\r{line}   ", end="", file=sys.stderr, flush=True)
        elif so_far.seeds % 1000 == 0:
            print(line, file=sys.stderr, flush=True)

    batch = run_parallel(seeds, arguments.processes, on_progress)
    _report(batch, time.monotonic() - started)
    return 1 if batch.failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its trace")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with this bug planted")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def _replay(seed: int, mutant: str | None) -> int:
    with MUTANTS[mutant]() if mutant else nullcontext():
        result = simulate(seed)
    print(f"{result.scenario}")
    print("\n".join(result.trace))
    print(f"seed {seed}: {len(result.complaints)} violations, trace {result.digest}")
    return 1 if result.complaints else 0


def _report(batch: Batch, seconds: float) -> None:
    print(
        f"\n{batch.seeds} seeds in {seconds:.0f} s ({batch.seeds / seconds:.0f}/s),"
        f" {batch.virtual_seconds / 3600:.1f} virtual hours;"
        f" {sum(batch.fired.values())} faults, {sum(batch.checks.values())} checks,"
        f" {batch.repeated} outputs repeated because of a fault"
    )
    print("faults: " + ", ".join(f"{fault} {count}" for fault, count in batch.fired.most_common()))
    print("checks: " + ", ".join(f"{rule} {count}" for rule, count in batch.checks.most_common()))
    for seed, complaint in sorted(batch.failed.items()):
        print(f"FAILED seed {seed}: {complaint}")
        print(f"  replay it: python -m tests.simulation --seed {seed}")
    print(f"violations: {len(batch.failed)}")


if __name__ == "__main__":
    sys.exit(main())
