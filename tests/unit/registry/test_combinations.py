"""What every combinator makes is an agent of the registry: itself, or by name."""

from typing import Any

import pytest
from pydantic import BaseModel

from streamapp import (
    Agent,
    AgentDefinition,
    AgentRegistry,
    Capability,
    agent,
    assemble,
    branch,
    chain,
    choose,
    fallback,
    parallel,
    pool,
    when,
)
from streamapp.registry.needs import needs_of
from streamapp.testing import PipelineDriver

VALIDATE, ENRICH = Capability.DATA_VALIDATION, Capability.DATA_ENRICHMENT


class Film(BaseModel):
    title: str


@agent(capabilities=[VALIDATE])
def trim(film: Film) -> Film:
    return Film(title=film.title.strip())


@agent(capabilities=[VALIDATE])
def squeeze(film: Film) -> Film:
    return Film(title=" ".join(film.title.split()))


@agent(capabilities=[ENRICH])
def shout(film: Film) -> Film:
    return Film(title=film.title.upper())


def is_short(film: Film) -> bool:
    return len(film.title) < 20


def first(_film: Film, left: Film, _right: Film) -> Film:
    return left


piped = chain(trim, squeeze)
pooled = pool(trim, squeeze, capacity=2)
chosen = choose(when(is_short, trim), otherwise=squeeze)
backed_up = fallback(trim, squeeze)
joined = parallel(trim, branch(squeeze, name="squeezed")).join(first)
nested = chain(pooled, fallback(squeeze, trim))

COMBINATIONS: dict[str, Agent[Film, Film]] = {
    "piped": piped,
    "pooled": pooled,
    "chosen": chosen,
    "backed_up": backed_up,
    "joined": joined,
    "nested": nested,
}


def result_of(registry: AgentRegistry, agent_id: str) -> list[Any]:
    made = assemble(registry, "p", [VALIDATE, ENRICH], source="in", sink="out", pins={1: agent_id})
    return PipelineDriver(made.pipeline).run([Film(title=" up ")]).outputs


@pytest.mark.parametrize("name", COMBINATIONS)
def test_what_a_combinator_makes_registers_itself(name: str) -> None:
    registry = AgentRegistry()
    registry.register(shout)
    derived = registry.register(COMBINATIONS[name])
    assert derived.agent_id == COMBINATIONS[name].name
    assert VALIDATE in derived.capabilities
    assert derived in registry.find_compatible(Film)
    assert result_of(registry, derived.agent_id) == [Film(title="UP")]


@pytest.mark.parametrize("name", COMBINATIONS)
def test_what_a_combinator_makes_is_defined_by_name(name: str) -> None:
    registry = AgentRegistry([__name__.partition(".")[0]])
    registry.register(shout)
    registry.register(
        AgentDefinition(
            agent_id="it",
            agent_class=name,
            module_path=__name__,
            capabilities=(VALIDATE,),
            input_schema="Film",
            output_schema="Film",
        )
    )
    assert result_of(registry, "it") == [Film(title="UP")]


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("is_last", [True, False])
def test_a_combination_needs_what_its_parts_need(name: str, *, is_last: bool) -> None:
    registry = AgentRegistry()
    combination = COMBINATIONS[name]
    if not is_last:
        registry.register(combination, "it")
    registry.register(trim, resource_requirements={"memory_mb": 10})
    registry.register(squeeze, resource_requirements={"memory_mb": 20})
    if is_last:
        registry.register(combination, "it")
    assert needs_of(registry, "it").memory_mb == (60 if name == "nested" else 30)
    registry.replace(combination, "it", resource_requirements={"memory_mb": 7})
    assert needs_of(registry, "it").memory_mb == 7


def test_another_agent_of_the_same_name_is_no_part() -> None:
    registry = AgentRegistry()
    other = agent(name="trim")(trim.function)
    registry.register(other, resource_requirements={"memory_mb": 10})
    registry.register(piped, "it")
    assert needs_of(registry, "it").memory_mb == 0
