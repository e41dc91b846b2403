"""Makes agents of compositions, by the combinators of the same names."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from streamapp.agents.rules import Condition, Conditions
from streamapp.configuration.as_data import data_of
from streamapp.configuration.composition import (
    Branch,
    Chain,
    Choose,
    Combination,
    Composition,
    Fallback,
    NamedAgent,
    Parallel,
    Pool,
    named,
)
from streamapp.configuration.merge import Merge
from streamapp.configuration.placed import PlacedError
from streamapp.configuration.secrets import Path
from streamapp.errors import ConfigurationError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.branch import UNSET, branch
from streamapp.pipeline.combinators.branches import Branches, parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.combinators.types import common_input
from streamapp.pipeline.combinators.when import when
from streamapp.policies.policy import retry
from streamapp.registry.instantiate import Meanings, make_agent
from streamapp.registry.registry import AgentRegistry

AnAgent = Agent[Any, Any]
T = TypeVar("T")


class Composer:
    """Makes the agents of one pipeline.

    Args:
        registry: where agents are defined.
        meanings: what names of schemas mean to the agents that were made before.
    """

    def __init__(self, registry: AgentRegistry, meanings: Meanings) -> None:
        self._registry = registry
        self._meanings = meanings

    def agent(self, composition: Composition, path: Path) -> AnAgent:
        """Make the agent.

        Args:
            composition: what it is.
            path: where it stands.

        Raises:
            PlacedError: it, or parts of it, cannot be made; each at the innermost place where that
                shows, the first with the others.
        """
        one = named(composition)
        if isinstance(one, NamedAgent):
            return _placed(path, lambda: self._named(one))
        parts: list[AnAgent] = []
        faults: list[PlacedError] = []
        for inner, part in one.parts():
            try:
                parts.append(self.agent(part, (*path, *inner)))
            except PlacedError as error:
                faults.append(error)
        if faults:
            raise PlacedError.of_all(faults)
        return _placed(path, lambda: _combined(one, parts))

    def _named(self, one: NamedAgent) -> AnAgent:
        made = make_agent(self._registry, one.agent, one.configuration, self._meanings)
        return made if one.name is None else replace(made, name=one.name)


def _placed(path: Path, make: Callable[[], T]) -> T:
    try:
        return make()
    except PlacedError:
        raise
    except (ConfigurationError, ValueError) as error:
        raise PlacedError(path, str(error)) from error


def _combined(one: Combination, parts: Sequence[AnAgent]) -> AnAgent:
    first, *others = parts
    match one:
        case Branch():
            return _branch(one, first)
        case Chain():
            return chain(*parts, name=one.name)
        case Choose():
            cases = [
                when(_holds(case.when, part.input_type), part)
                for case, part in zip(one.choose, parts, strict=False)  # the last has no case
            ]
            return choose(*cases, otherwise=parts[-1], name=one.name)
        case Fallback():
            return fallback(first, *others, name=one.name)
        case Parallel():
            return _parallel(one, parts)
        case Pool():
            return pool(
                *parts,
                capacity=_for_members(one.capacity),
                weights=_for_members(one.weights),
                calls_per_minute=_for_members(one.calls_per_minute or [None]),
                breaker=one.breaker,
                name=one.name,
            )


def _branch(one: Branch, agent: AnAgent) -> AnAgent:
    given = one.model_fields_set
    return branch(
        agent,
        timeout_seconds=one.timeout_seconds,
        retry=retry(one.retry_count, backoff=one.backoff) if one.retry_count else None,
        default=one.default if "default" in given else UNSET,
        if_none=one.if_none if "if_none" in given else UNSET,
        name=one.name,
    )


def _parallel(one: Parallel, parts: Sequence[AnAgent]) -> AnAgent:
    branches: Branches[Any, *tuple[Any, ...]] = parallel(*parts)
    kept = common_input("parallel()", parts) if one.join == "input" else None
    join = Merge(tuple(one.parallel), parts, kept)
    name = one.name or "-and-".join(part.name for part in parts)
    return branches.join(join, name=name)


def _holds(condition: Condition, input_type: Any) -> Callable[[Any], bool]:
    """A predicate of values of a type."""
    conditions, convert = Conditions(condition), data_of(input_type)

    def holds(value: Any) -> bool:
        return conditions.hold(convert(value))

    return holds


def _for_members(values: list[T]) -> T | list[T]:
    return values[0] if len(values) == 1 else values
