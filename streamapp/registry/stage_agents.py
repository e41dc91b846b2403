"""Makes the agents of the stages of an assembled pipeline, at first and when one is replaced."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamapp.errors import RegistryError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.fits import fits
from streamapp.registry.given import Given
from streamapp.registry.instantiate import Meanings, make_agent
from streamapp.registry.read_as import read_as
from streamapp.registry.registry import AgentRegistry
from streamapp.tombstones import takes_tombstones


class StageAgents:
    """Makes agents of a registry, each once.

    Args:
        registry: where they are defined.
        overrides: values of configurations, by the ids of their agents.
        pool_capacity: calls at a time of each agent in a pool.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        overrides: Mapping[str, Mapping[str, Any]],
        pool_capacity: int,
    ) -> None:
        self._registry = registry
        self._overrides = overrides
        self._pool_capacity = pool_capacity
        self._meanings: Meanings = {}
        self._made: dict[str, Agent[Any, Any]] = {}
        self._pools: dict[int, str] = {}

    def first(
        self, members: Sequence[Sequence[str]], given: Mapping[int, Given]
    ) -> list[Agent[Any, Any]]:
        """The agent of each stage, which takes the type that the one before it gives.

        Args:
            members: ids of the agents of each stage; several share its work.
            given: the steps whose agents are given, by their numbers.
        """
        stages: list[Agent[Any, Any]] = []
        for number, ids in enumerate(members, 1):
            one = given.get(number)
            if one is not None:
                stage = one.make(self._meanings)
            else:
                if len(ids) > 1:
                    self._pools[number] = f"{ids[0]}-pool"
                stage = self._of(number, ids)
            stages.append(_taking(stages[-1].output_type, stage) if stages else stage)
        return stages

    def next(
        self,
        number: int,
        ids: Sequence[str],
        taken: Any,
        read: Any,
    ) -> Agent[Any, Any]:
        """The agent of a stage from now on, which is given and gives what was so far.

        Args:
            number: number of the step, from 1.
            ids: the agents that do its work.
            taken: the type that the stage takes.
            read: the type that the next stage takes; `None` without one.

        Raises:
            RegistryError: one cannot be made, or the next stage could not read what it gives.
            ImportRefusedError: one may not be imported.
            PipelineError: they cannot share the work, or cannot read what they are given.
        """
        made = _taking(taken, self._of(number, ids))
        if read is not None:
            self._check_next(made, read)
        return made

    def drop(self, agent_id: str) -> None:
        """Forget an agent that does no work any more; if it is needed again, it is made anew."""
        self._made.pop(agent_id, None)

    def _of(self, number: int, ids: Sequence[str]) -> Agent[Any, Any]:
        """The agent of a step; what was a pool once stays one, with its name."""
        agents = [self._agent(one) for one in ids]
        name = self._pools.get(number)
        return agents[0] if name is None else pool(*agents, capacity=self._pool_capacity, name=name)

    def _agent(self, agent_id: str) -> Agent[Any, Any]:
        made = self._made.get(agent_id)
        if made is None:
            overrides = self._overrides.get(agent_id)
            made = make_agent(self._registry, agent_id, overrides, self._meanings)
            self._made[agent_id] = made
        return made

    def _check_next(self, made: Agent[Any, Any], read: Any) -> None:
        """Require what it gives to be readable as the type that the next stage reads already."""
        if same(made.output_type, read):
            return
        schemas, check = self._registry.schemas, self._registry.check
        fit = check.explain(schemas.of(made.output_type), schemas.of(read))
        if not fit.is_fit:
            raise RegistryError(
                f"the next stage does not read what agent {made.name!r} gives: {fit}"
            )


def same(given: Any, taken: Any) -> bool:
    """Whether a pipeline sees for itself that one type can be given as the other."""
    return fits(given, taken) and takes_tombstones(given) <= takes_tombstones(taken)


def _taking(given: Any, stage: Agent[Any, Any]) -> Agent[Any, Any]:
    """The agent, as it takes a type that is proven to fit."""
    return stage if same(given, stage.input_type) else read_as(stage, given)
