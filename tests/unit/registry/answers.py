"""Prints what is suggested and assembled from a drawn registry: `python -m ... SEED ORDER`."""

import json
import random
import sys

from streamapp.pipeline.capability import Capability
from streamapp.registry.choose_chain import choose_chain
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.explanation import AssemblyError
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores
from streamapp.registry.suggest import suggest
from tests.hand_clock import HandClock
from tests.unit.registry.random_registries import CAPABILITIES, SCHEMAS, registry_of

AGENTS = 40


def definitions(rng: random.Random) -> list[AgentDefinition]:
    names = sorted(SCHEMAS)
    return [
        AgentDefinition(
            agent_id=f"agent-{number}",
            agent_class="Agent",
            module_path="shop.agents",
            capabilities=tuple(rng.sample(CAPABILITIES, rng.randint(0, 2))),
            input_schema=rng.choice(names),
            output_schema=rng.choice(names),
        )
        for number in range(AGENTS)
    ]


def answers(registry: AgentRegistry, scores: Scores) -> list[object]:
    found: list[object] = []
    for start in CAPABILITIES:
        for end in CAPABILITIES:
            found.append(
                [one.agents for one in suggest(registry, start, end, scores=scores).chains]
            )
            found.append(_assembled(registry, [start, end, start], scores))
        found.append([one.agent_id for one in registry.find_by_capability(start)])
    found += [[one.agent_id for one in registry.find_compatible(name)] for name in SCHEMAS]
    return found


def _assembled(registry: AgentRegistry, wanted: list[Capability], scores: Scores) -> object:
    try:
        return choose_chain(registry, wanted, scores=scores).explanation.as_json()
    except AssemblyError as error:
        return error.explanation.as_json()


def main(seed: str, order: str) -> None:
    rng = random.Random(seed)
    drawn = definitions(rng)
    scores = Scores(clock=HandClock())
    for one in rng.choices(drawn, k=AGENTS // 2):
        scores.failed(one.agent_id)
    random.Random(order).shuffle(drawn)
    sys.stdout.write(json.dumps(answers(registry_of(drawn), scores)))


if __name__ == "__main__":
    main(*sys.argv[1:])
