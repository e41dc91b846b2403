"""What agents use of language models: found in all parts, and counted for one stage only."""

from typing import Any

from streamapp.observability.model_usage import ModelUsage
from streamapp.pipeline.agent import agent
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.model_usages import model_usages


class Asking:
    """An agent that asks a model."""

    def __init__(self) -> None:
        self.usage = ModelUsage()

    def __call__(self, value: int) -> int:
        return value


class OfAnotherKind:
    """An agent whose `usage` is something else."""

    def __init__(self) -> None:
        self.usage: Any = "rare"

    def __call__(self, value: int) -> int:
        return value


def test_it_is_found_in_the_agent_and_in_its_parts() -> None:
    one, other = Asking(), Asking()
    first, second = agent(name="first")(one), agent(name="second")(other)
    assert model_usages(first, set()) == {"first": one.usage}
    found = model_usages(fallback(first, second), set())
    assert {name: id(usage) for name, usage in found.items()} == {
        "first": id(one.usage),
        "second": id(other.usage),
    }


def test_an_object_of_two_stages_counts_for_the_first() -> None:
    shared, told = Asking(), set[int]()
    assert model_usages(agent(name="a")(shared), told)
    assert not model_usages(agent(name="b")(shared), told)


def test_others_have_none() -> None:
    @agent
    def plain(value: int) -> int:
        return value

    assert not model_usages(plain, set())
    assert not model_usages(agent(name="x")(OfAnotherKind()), set())
