"""What a registry of 10,000 agents takes: to load, to suggest and to assemble.

`python -m benchmarks.registry`, a minute. CPU time of this process. The agents are drawn with a
seed; how many schemas they share decides how many pairs of schemas have to be compared. A first
suggestion prepares and compares what it looks at; later ones find the answers kept.
"""

import argparse
import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from itertools import permutations, product
from typing import Any

from benchmarks.figures import Figures, spread, write
from benchmarks.tables import registry as table
from benchmarks.testbed import machine
from streamapp.pipeline.capability import Capability
from streamapp.registry.choose_chain import choose_chain
from streamapp.registry.containment import compare
from streamapp.registry.definition import read_definition
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores
from streamapp.registry.suggest import suggest

AGENTS = 10_000
SCHEMAS = (50, 500, 3_000, 10_000)
FIELDS = 5
STEPS = 4
CAPABILITIES = list(Capability)
KINDS = ("integer", "string", "number", "boolean")


def schema(number: int, count: int, rng: random.Random) -> dict[str, Any]:
    """An object of five fields, some of which its neighbours have too."""
    fields = {f"field-{(number + place) % count}": rng.choice(KINDS) for place in range(FIELDS)}
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": sorted(fields)[: rng.randint(1, FIELDS)],
        "additionalProperties": False,
    }


def data(count: int, rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "agent_id": f"agent-{number:05}",
            "agent_class": "Agent",
            "module_path": "shop.agents",
            "capabilities": [rng.choice(CAPABILITIES).value],
            "input_schema": f"schema-{rng.randrange(count)}",
            "output_schema": f"schema-{rng.randrange(count)}",
            "configuration": {"model": "small", "temperature": 0.1},
            "resource_requirements": {"memory_mb": 512, "cpu_cores": 1},
        }
        for number in range(AGENTS)
    ]


def loaded(count: int) -> AgentRegistry:
    rng = random.Random(count)
    registry = AgentRegistry()
    for number in range(count):
        registry.schemas.bind(f"schema-{number}", schema(number, count, rng))
    for one in data(count, rng):
        registry.register(read_definition(one))
    return registry


def spent_ms(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e3


def memory_mb(count: int) -> float:
    tracemalloc.start()
    kept = loaded(count)
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return used / 1e6


def measured(count: int, rounds: int) -> dict[str, Figures]:
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, values in one_round(count, rounds).items():
            found.setdefault(name, []).extend(values)
    return {name: spread(values) for name, values in found.items()}


def one_round(count: int, rounds: int) -> dict[str, list[float]]:
    registries: list[AgentRegistry] = []

    def load() -> None:
        registries.append(loaded(count))
        gc.collect()  # so that no later step pays for what was loaded here

    load_ms = spent_ms(load)
    [registry] = registries
    scores = Scores()

    def ask(ends: tuple[Capability, Capability]) -> float:
        return spent_ms(lambda: suggest(registry, *ends, scores=scores))

    pairs = list(permutations(CAPABILITIES, 2))
    first = ask(pairs[0])
    others = [ask(pair) for pair in pairs[1 : rounds + 1] for _ in range(2)]
    wanted = CAPABILITIES[:STEPS]
    assembly = spent_ms(lambda: choose_chain(registry, wanted, scores=scores))
    return {"load": [load_ms], "first": [first], "others": others, "assemble": [assembly]}


def check_us(rounds: int) -> Figures:
    """One comparison of two schemas that are prepared."""
    registry = loaded(SCHEMAS[0])
    schemas = list(registry.schemas.names().values())
    pairs = list(product(schemas, repeat=2))
    for one, other in pairs:
        compare(one, other)
    decided = [pair for pair in pairs if compare(*pair).is_fit]
    each = [spent_ms(lambda: [compare(*pair) for pair in decided]) for _ in range(rounds)]
    return spread([one * 1e3 / len(decided) for one in each])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    described = machine()
    figures = {
        str(count): {**measured(count, rounds), "memory_mb": round(memory_mb(count), 1)}
        for count in SCHEMAS
    }
    write(
        "registry",
        "python -m benchmarks.registry",
        described,
        agents=AGENTS,
        by_schemas=figures,
        check_us=check_us(rounds),
    )
    print(table())


if __name__ == "__main__":
    main()
