"""What is looked at grows no faster than the registry: counts, never times."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from streamapp.pipeline.capability import Capability
from streamapp.registry import containment
from streamapp.registry.choose_chain import choose_chain
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.entry import Entry
from streamapp.registry.indexes import Indexes
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.schemas import Schema
from streamapp.registry.scores import Scores
from streamapp.registry.suggest import suggest
from tests.hand_clock import HandClock

SIZES = (125, 250, 500, 1000)
CAPABILITIES = list(Capability)
STEPS = CAPABILITIES[:4]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many agents were indexed and looked at, and how many pairs of schemas were compared."""
    counts: Counter[str] = Counter()
    add, taking, inputs_for = Indexes.add, Indexes.taking, Indexes.inputs_for
    decide = containment._decide

    def counting_add(self: Indexes, entry: Entry) -> None:
        counts["indexed"] += 1
        add(self, entry)

    def counting_taking(self: Indexes, schema: Schema, capability: Any = None) -> Any:
        found = taking(self, schema, capability)
        counts["agents"] += len(found)
        return found

    def counting_inputs_for(self: Indexes, output: Schema) -> Any:
        found = inputs_for(self, output)
        counts["edges"] += len(found)
        return found

    def counting_decide(output: Schema, input_: Schema) -> Any:
        counts["compared"] += 1
        return decide(output, input_)

    monkeypatch.setattr(Indexes, "add", counting_add)
    monkeypatch.setattr(Indexes, "taking", counting_taking)
    monkeypatch.setattr(Indexes, "inputs_for", counting_inputs_for)
    monkeypatch.setattr(containment, "_decide", counting_decide)
    return counts


def agents(size: int) -> Iterable[AgentDefinition]:
    """Groups of twelve agents, two of each capability; each agent leads to two of its group."""
    for number in range(size):
        group, place = divmod(number, 2 * len(CAPABILITIES))
        step = place // 2
        yield AgentDefinition(
            agent_id=f"agent-{number:05}",
            agent_class="Agent",
            module_path="shop.agents",
            capabilities=(CAPABILITIES[step],),
            input_schema=f"schema-{group}-{step}",
            output_schema=f"schema-{group}-{step + 1}",
        )


def bind(registry: AgentRegistry, size: int) -> None:
    for group in range(size // (2 * len(CAPABILITIES)) + 1):
        for step in range(len(CAPABILITIES) + 1):
            registry.schemas.bind(f"schema-{group}-{step}", _object(f"field-{group}-{step}"))


def _object(field: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {field: {"type": "integer"}},
        "required": [field],
        "additionalProperties": False,
    }


def loaded(size: int) -> AgentRegistry:
    registry = AgentRegistry()
    bind(registry, size)
    for one in agents(size):
        registry.register(one)
    return registry


def test_each_agent_is_indexed_once_and_loading_compares_no_schemas(
    looked_at: Counter[str],
) -> None:
    for size in SIZES:
        looked_at.clear()
        loaded(size)
        assert looked_at == {"indexed": size}


def test_a_name_that_is_bound_late_concerns_only_the_agents_that_use_it(
    looked_at: Counter[str],
) -> None:
    registry = AgentRegistry()
    for one in agents(SIZES[0]):
        registry.register(one)
    looked_at.clear()
    registry.schemas.bind("schema-3-1", _object("late"))
    assert registry.entry("agent-00036").output.is_bound
    assert registry.entry("agent-00038").input_.is_bound
    assert looked_at["indexed"] == 4  # two that give it, and two that take it
    bind(AgentRegistry(), 1)
    for number in range(5):
        registry.schemas.bind(f"schema-5-{number}", _object(f"field-5-{number}"))
        registry.entries()
    assert looked_at["indexed"] == 4 + 2 + 4 * 4


@pytest.mark.parametrize("is_bound", [True, False], ids=["bound", "only names"])
def test_a_question_looks_at_no_more_than_the_registry_has_edges(
    looked_at: Counter[str], *, is_bound: bool
) -> None:
    seen: dict[str, list[Counter[str]]] = {"suggest": [], "assemble": [], "pinned": []}
    for size in SIZES:
        registry = loaded(size) if is_bound else AgentRegistry()
        if not is_bound:
            for one in agents(size):
                registry.register(one)
        scores = Scores(clock=HandClock())
        pins = {1: "agent-00000", 3: "agent-00005"}
        for name, ask in (
            ("pinned", lambda: choose_chain(registry, STEPS, scores=scores, pins=pins)),  # noqa: B023 - called at once
            ("suggest", lambda: suggest(registry, STEPS[0], STEPS[2], scores=scores)),  # noqa: B023
            ("assemble", lambda: choose_chain(registry, STEPS, scores=scores)),  # noqa: B023
        ):
            looked_at.clear()
            ask()
            seen[name].append(Counter(looked_at))
    # Whoever says where a chain begins pays for what can follow, however large the registry is.
    assert all(one == seen["pinned"][0] for one in seen["pinned"])
    for name in ("suggest", "assemble"):
        for before, after in zip(seen[name], seen[name][1:], strict=False):
            for what, count in after.items():
                assert count <= 2.3 * before[what], (name, what, before, after)


def test_a_choice_is_explained_only_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[str] = []
    score = Scores.score

    def counting_score(self: Scores, definition: AgentDefinition, wanted: Any = None) -> Any:
        scored.append(definition.agent_id)
        return score(self, definition, wanted)

    monkeypatch.setattr(Scores, "score", counting_score)
    registry = loaded(SIZES[0])
    choice = choose_chain(registry, STEPS, scores=Scores(clock=HandClock()))
    assert len(scored) <= len(STEPS)
    candidates = [len(step.candidates) for step in choice.explanation.steps]
    assert len(scored) >= sum(candidates)
    assert choice.explanation is choice.explanation
