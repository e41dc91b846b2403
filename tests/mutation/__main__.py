"""`python -m tests.mutation` plants small bugs, one at a time, and counts what tests notice."""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.mutation import report
from tests.mutation.equivalents import read_reasons
from tests.mutation.mutants import ROOT, Mutant, mutants
from tests.mutation.rooms import ROOMS, Room
from tests.mutation.session import Mutation, Result, collect_and_run
from tests.mutation.tracing import Trace

TESTS = ("tests/unit", "tests/contract")


def main() -> int:
    options = _options()
    rooms = [room for room in ROOMS if not options.rooms or room.name in options.rooms]
    room_of: dict[str, Room] = {file: room for room in rooms for file in room.files()}
    planted = [
        mutant
        for file in room_of
        for mutant in mutants(file, (ROOT / file).read_text())
        if options.only in mutant.name
    ][:: options.every]
    results: list[Result] = []
    reasons = read_reasons()
    if options.is_partial:
        names = {mutant.name for mutant in planted}
        reasons = {name: why for name, why in reasons.items() if name in names}
    start = time.monotonic()

    def told(result: Result) -> None:
        results.append(result)
        if result.killer or result.mutant.name not in reasons:
            report.progress(len(results), len(planted), result, time.monotonic() - start)

    def choose(mutant: Mutant, trace: Trace) -> Sequence[str]:
        return trace.tests_of(mutant, room_of[mutant.file].tests)

    mutation = Mutation(planted, choose, is_traced=True, told=told)
    collect_and_run(mutation, options.tests or TESTS)
    if mutation.trace.failed:
        sys.stdout.write(f"fails without a mutant: {', '.join(mutation.trace.failed)}\n")
        return 1
    if len(results) < len(planted) or not planted:
        sys.stdout.write("nothing was planted\n")
        return 1
    scores = report.scores(rooms, room_of, results, reasons)
    sys.stdout.writelines(f"{line}\n" for line in report.told(scores))
    if options.write and not (options.only or options.tests):
        report.write(scores, results, options.every)
    return 0 if all(score.is_reached for score in scores) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    names = [room.name for room in ROOMS]
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(names)}")
    parser.add_argument("--only", default="", help="only mutants with this text in their names")
    parser.add_argument("--every", type=int, default=1, help="only one mutant of so many")
    parser.add_argument("--tests", nargs="+", help="only tests of these folders and files")
    parser.add_argument("--write", action="store_true", help="keep the result in the page")
    options = parser.parse_args()
    options.is_partial = bool(options.only) or options.every > 1
    if unknown := set(options.rooms) - set(names):
        parser.error(f"no room {', '.join(sorted(unknown))}; rooms are {', '.join(names)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
