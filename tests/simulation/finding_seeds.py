"""Seeds that are known to find planted bugs, tried before the search for others.

`python -m tests.simulation.finding_seeds` searches anew and writes them down, in some minutes. A
seed that finds its bug no longer, since what seeds draw has changed, only costs time.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


def read_finding_seeds() -> Mapping[str, int]:
    """The seeds, by the name of the bug."""
    found: dict[str, int] = json.loads(FILE.read_text())
    return found


def main() -> None:
    # The tests read the file when they are imported.
    from tests.simulation.batch import first_found  # noqa: PLC0415
    from tests.simulation.mutants import MUTANTS  # noqa: PLC0415
    from tests.simulation.test_mutants import seeds_for  # noqa: PLC0415

    known = dict(read_finding_seeds())
    for name, plant in MUTANTS.items():
        with plant():
            found = first_found(seeds_for(name))
        sys.stdout.write(f"{name}: {'not found' if found is None else found[0]}\n")
        if found is not None:
            known[name] = found[0]
    FILE.write_text(json.dumps({name: known[name] for name in sorted(known)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
