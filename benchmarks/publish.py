"""Fill the tables of docs/performance.md and docs/scaling.md from the figures that are kept.

`python -m benchmarks.publish [--check]`. A table stands between `<!-- figures: NAME -->` and
`<!-- end -->`; `--check` changes nothing and fails where a page is not what the figures say.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import tables

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "performance.md", DOCS / "scaling.md")

FIGURES: dict[str, Callable[[], str]] = {
    "run": tables.run_facts,
    "loop": tables.beside_the_loop,
    "peers": tables.peers,
    "playback": tables.playback,
    "waiting": tables.waiting,
    "latency": tables.latency,
    "executions": tables.executions,
    "surrounded": tables.surrounded,
    "scale": tables.scale_facts,
    "workers": tables.workers,
    "partitions": tables.partitions,
    "lag": tables.lag,
    "bundles": tables.bundles,
    "inputs": tables.inputs,
    "plan": tables.planned,
    "balance": tables.balance,
    "shares": tables.shares,
    "registry": tables.registry,
    "metering": tables.metering,
    "catalogue": tables.catalogue,
}

_BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with what the figures say now."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{FIGURES[found[2]]()}\n\n{found[3]}", page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    stale = [page for page in PAGES if filled(page.read_text()) != page.read_text()]
    if not arguments.check:
        for page in stale:
            page.write_text(filled(page.read_text()))
    for page in stale:
        print(f"{page.name}: {'not what the figures say' if arguments.check else 'filled'}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
