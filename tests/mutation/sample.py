"""`python -m tests.mutation.sample`: a few critical mutants, each with the test that killed it."""

import random
import sys
from collections.abc import Sequence

from tests.mutation.equivalents import read_reasons
from tests.mutation.mutants import ROOT, Mutant, mutants
from tests.mutation.report import KILLED
from tests.mutation.rooms import ROOMS
from tests.mutation.session import Mutation, Result, collect_and_run
from tests.mutation.tracing import Trace

SAMPLE_SIZE = 40
SEED = 8


def main() -> int:
    killers = read_reasons(KILLED)
    rooms = [room for room in ROOMS if room.is_critical]
    tests_of = {file: room.tests for room in rooms for file in room.files()}
    known = {
        mutant.name: mutant
        for file in tests_of
        for mutant in mutants(file, (ROOT / file).read_text())
        if mutant.name in killers
    }
    planted = [known[name] for name in sampled(sorted(known), random.Random(SEED))]
    results: list[Result] = []

    def choose(mutant: Mutant, trace: Trace) -> Sequence[str]:
        """The test that killed it before, then the others of its room."""
        killer = killers.get(mutant.name, "")
        own = [name for name in trace.seconds if name.startswith(tests_of[mutant.file])]
        return [*({killer} & trace.seconds.keys()), *(name for name in own if name != killer)]

    mutation = Mutation(planted, choose, is_traced=False, told=results.append)
    files = {killers[mutant.name].partition("::")[0] for mutant in planted}
    there = {file for file in files if (ROOT / file).exists()}
    collect_and_run(mutation, sorted(there.union(*(room.tests for room in rooms))))
    survived = [result.mutant.name for result in results if result.killer is None]
    sys.stdout.writelines(f"was killed, and survives now: {name}\n" for name in survived)
    sys.stdout.write(f"{len(results) - len(survived)} of {len(planted)} are killed\n")
    return 1 if survived or len(results) < SAMPLE_SIZE else 0


def sampled(names: Sequence[str], rng: random.Random) -> list[str]:
    """Names to try."""
    return rng.sample(names, min(SAMPLE_SIZE, len(names)))


if __name__ == "__main__":
    sys.exit(main())
