"""What a configuration file of 10,000 agents and 52,000 pipelines takes, and how that grows.

`python -m benchmarks.catalogue`, about six minutes. The file is drawn with a seed at an eighth, a
quarter, half and all of that size, each in a process of its own; CPU time of that process, and its
largest memory; of eighteen suggestions the median. Agents come in groups of twenty that name one
schema. Of the pipelines, a third name their agents, a third the first one, and a third none.
`looked at` counts agents and pairs of schemas that questions went through.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from benchmarks.figures import write
from benchmarks.tables import catalogue as table
from benchmarks.testbed import machine
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.file import read_configuration
from streamapp.configuration.lint import lint
from streamapp.pipeline.capability import Capability
from streamapp.registry.choose_chain import choose_chain
from streamapp.registry.entry import Entry
from streamapp.registry.indexes import Indexes
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.schemas import Schema
from streamapp.registry.suggest import suggest

AGENTS, PIPELINES = 10_000, 52_000
SHARES = (8, 4, 2, 1)
GROUP = 20

KINDS: tuple[tuple[Capability, dict[str, Any]], ...] = (
    (
        Capability.DATA_VALIDATION,
        {
            "agent_class": "Validator",
            "module_path": "streamapp.agents.validator",
            "configuration": {"json_schema": {"type": "object", "required": ["id"]}},
        },
    ),
    (
        Capability.DATA_TRANSFORMATION,
        {
            "agent_class": "FieldMapper",
            "module_path": "streamapp.agents.field_mapper",
            "configuration": {"fields": {"id": "id"}},
        },
    ),
    (
        Capability.STREAM_PROCESSING,
        {
            "agent_class": "Deduplicator",
            "module_path": "streamapp.agents.deduplicator",
            "configuration": {"key": "id", "window_seconds": 60},
        },
    ),
)
STEPS = [capability for capability, _ in KINDS]

_T = TypeVar("_T")


def configuration(share: int) -> dict[str, Any]:
    agents = dict(map(agent, range(AGENTS // share)))
    return {
        "data_agents": agents,
        "data_pipelines": dict(
            pipeline(number, len(agents), random.Random(number))
            for number in range(PIPELINES // share)
        ),
    }


def agent(number: int) -> tuple[str, dict[str, Any]]:
    capability, fields = KINDS[number % GROUP % len(KINDS)]
    schema = f"Record{number // GROUP}"
    return f"agent-{number:05}", {
        **fields,
        "capabilities": [capability],
        "input_schema": schema,
        "output_schema": schema,
        "description": f"The {number}th agent of this file.",
        "resource_requirements": {"memory_mb": 64, "cpu_cores": 0.1},
    }


def pipeline(number: int, agents: int, rng: random.Random) -> tuple[str, dict[str, Any]]:
    group = GROUP * rng.randrange(agents // GROUP)
    named = (len(KINDS), 1, 0)[number % 3]
    stages: list[dict[str, Any]] = []
    for step, capability in enumerate(STEPS):
        drawn = group + step + len(KINDS) * rng.randrange(GROUP // len(KINDS))
        own = {"agent": f"agent-{drawn:05}"} if step < named else {"capability": capability}
        stages.append({**own, "timeout_seconds": 5, "error_policy": "retry"})
    return f"pipeline-{number:05}", {
        "source": f"in.{number}",
        "stages": stages,
        "sink": f"out.{number}",
    }


def suggestion(registry: AgentRegistry, start: Capability, end: Capability) -> float:
    return spent(lambda: suggest(registry, start, end))[1]


def spent(work: Callable[[], _T]) -> tuple[_T, float]:
    started = time.process_time()
    done = work()
    return done, time.process_time() - started


def peak_mb() -> float:
    """Largest memory of this process; `getrusage` would count that of its parent as well."""
    [line] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return round(int(line) / 1024, 1)


def measured(path: Path) -> dict[str, float]:
    """One size, in a process of its own."""
    empty = peak_mb()
    file, read_s = spent(lambda: read_configuration(path))
    registry, index_s = spent(lambda: registry_of(file.configuration))
    read_mb = peak_mb()
    suggested = [suggestion(registry, *ends) for ends in permutations(STEPS, 2) for _ in range(3)]
    _, choose_s = spent(lambda: choose_chain(registry, STEPS))
    looked_at, choices = questions(registry_of(file.configuration))
    _, lint_s = spent(lambda: lint(file))
    return {
        "agents": len(file.configuration.data_agents),
        "pipelines": len(file.configuration.data_pipelines),
        "file_mb": path.stat().st_size / 1e6,
        "values": values(file.document.data),
        "read_s": read_s,
        "index_s": index_s,
        "read_mb": read_mb - empty,
        "suggest_ms": median(suggested) * 1e3,
        "choose_ms": choose_s * 1e3,
        "suggest_looked_at": looked_at,
        "choose_looked_at": choices,
        "lint_s": lint_s,
        "lint_mb": peak_mb() - empty,
    }


def values(data: Any) -> int:
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + sum(map(values, parts))


def questions(registry: AgentRegistry) -> tuple[int, int]:
    """What a suggestion and a choice look at, in a registry that knows no answers yet."""
    with counted() as counts:
        suggest(registry, STEPS[0], STEPS[1])
        suggested = counts.total()
        choose_chain(registry, STEPS)
    return suggested, counts.total() - suggested


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the agents, and the pairs of schemas, that indexes give."""
    counts: Counter[str] = Counter()
    taking, inputs_for = Indexes.taking, Indexes.inputs_for

    def counting_taking(
        self: Indexes, schema: Schema, capability: Capability | None = None
    ) -> dict[str, Entry]:
        found = dict(taking(self, schema, capability))
        counts["agents"] += len(found)
        return found

    def counting_inputs_for(self: Indexes, output: Schema) -> tuple[Schema, ...]:
        found = inputs_for(self, output)
        counts["pairs"] += len(found)
        return found

    Indexes.taking, Indexes.inputs_for = counting_taking, counting_inputs_for  # type: ignore[method-assign]  # for the count only
    try:
        yield counts
    finally:
        Indexes.taking, Indexes.inputs_for = taking, inputs_for  # type: ignore[method-assign]


def commands(path: Path) -> dict[str, float]:
    """What whole commands take at the full size: seconds as on a clock, start included."""
    found = {}
    for name, line in (
        ("list_s", "pipelines list --output table"),
        ("show_s", "pipelines show pipeline-00000"),
        ("no_import_s", "config lint --no-import"),
    ):
        started = time.perf_counter()
        subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "streamapp", *line.split(), "--config", path],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        found[name] = round(time.perf_counter() - started, 2)
    return found


def child(path: Path) -> dict[str, float]:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "benchmarks.catalogue", "--file", path],
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    path = parser.parse_args().file
    if path is not None:
        print(json.dumps(measured(path)))
        return
    described = machine()
    by_share = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "atomic_data_config.json"
        for share in SHARES:
            path.write_text(json.dumps(configuration(share), indent=2))
            by_share[str(share)] = child(path)
            print(share, by_share[str(share)], flush=True)
        told = commands(path)
    write(
        "catalogue",
        "python -m benchmarks.catalogue",
        described,
        by_share=by_share,
        commands=told,
    )
    print(table())


if __name__ == "__main__":
    main()
