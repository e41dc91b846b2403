"""Assembled pipelines: runnable, with retries, pools and what their agents need."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.errors import PipelineError, RegistryError
from streamapp.pipeline.agent import Agent, agent, walk
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.combinators.pool import Pool
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import ErrorPolicy, drop
from streamapp.registry.assemble import Options, assemble
from streamapp.registry.explanation import AssemblyError
from streamapp.registry.read_as import read_as
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.resources import Machine, added_up, lacking, this_machine
from streamapp.registry.scores import Scores
from streamapp.testing import PipelineDriver
from streamapp.topics.topic import Topic
from tests.hand_clock import HandClock

VALIDATE, ENRICH = Capability.DATA_VALIDATION, Capability.DATA_ENRICHMENT


class Raw(BaseModel):
    title: str


class Valid(BaseModel):
    title: str
    seconds: int = 1


class Titled(BaseModel):
    title: str


class Rich(BaseModel):
    title: str
    country: str


@agent(capabilities=[VALIDATE])
def validate(raw: Raw) -> Valid:
    """Check a title."""
    return Valid(title=raw.title.strip())


class Enrich:
    """Add the country."""

    capabilities = (ENRICH,)

    class Configuration(BaseModel):
        country: str = "de"

    def __init__(self, configuration: Configuration) -> None:
        self.country = configuration.country
        self.is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def __call__(self, value: Titled) -> Rich:
        assert self.is_open
        return Rich(title=value.title, country=self.country)


def registry_with(*agents: Any) -> AgentRegistry:
    registry = AgentRegistry()
    for one in agents:
        registry.register(one)
    return registry


def scores() -> Scores:
    return Scores(clock=HandClock())


def test_a_pipeline_runs_although_its_agents_name_what_they_pass_on_differently() -> None:
    registry = registry_with(validate, Enrich)
    made = assemble(registry, "p", [VALIDATE, ENRICH], source="raw", sink="rich", scores=scores())
    assert made.members == (("validate",), ("Enrich",))
    assert made.choice.explanation.steps[1].candidates[0].notes == ("not read: seconds",)
    results = PipelineDriver(made.pipeline).run([Raw(title=" up ")])
    assert results.outputs == [Rich(title="up", country="de")]


async def test_a_pipeline_without_a_sink_is_executed_in_process() -> None:
    registry = registry_with(validate, Enrich)
    options = Options(overrides={"Enrich": {"country": "fr"}})
    made = assemble(registry, "p", [VALIDATE, ENRICH], source="raw", options=options)
    result = await made.pipeline.execute(Raw(title="up"))
    assert result.output == Rich(title="up", country="fr")


def test_stages_are_named_after_what_they_do_and_retry_twice() -> None:
    second = agent(name="second", capabilities=[VALIDATE])(_again)
    made = assemble(
        registry_with(validate, second, Enrich),
        "p",
        [VALIDATE, VALIDATE, ENRICH],
        source="raw",
        pins={1: "validate"},
        options=Options(settings={2: {"on_error": drop(), "concurrency": 4}, 3: {"name": "mine"}}),
    )
    first, again, last = made.pipeline.stages
    assert [one.stage_id for one in made.pipeline.stages] == [
        "data_validation",
        "data_validation-2",
        "mine",
    ]
    assert (first.config.error_policy, first.config.retry_count) == (ErrorPolicy.RETRY, 2)
    assert (again.config.error_policy, again.config.concurrency) == (ErrorPolicy.DROP, 4)
    assert last.config.retry_count == 2
    assert [one.agent.name for one in made.pipeline.stages] == ["validate", "second", "Enrich"]


def _again(value: Valid) -> Valid:
    return value


def test_topics_with_a_type_are_held_against_the_agents() -> None:
    registry = registry_with(validate, Enrich)
    request: Any = {"registry": registry, "name": "p", "steps": [VALIDATE, ENRICH]}
    made = assemble(**request, source=Topic("raw", Valid), sink=Topic("rich", Titled))
    assert PipelineDriver(made.pipeline).run([Raw(title="up")]).outputs[0].title == "up"
    assemble(**request, source=Topic("raw"), sink=Topic("rich"))
    with pytest.raises(AssemblyError, match="'title' is required, and is not written"):
        assemble(**request, source=Topic("raw", type("Other", (BaseModel,), {})), sink="rich")
    with pytest.raises(AssemblyError, match="gives what the pipeline has to give"):
        assemble(**request, source="raw", sink=Topic("rich", dict[str, int]))


def test_several_agents_of_a_step_may_share_its_work() -> None:
    others = [agent(name=name, capabilities=[VALIDATE])(validate.function) for name in "cab"]
    registry = registry_with(validate, *others, Enrich)
    known = scores()
    for _ in range(9):
        known.succeeded("b", 0.0)
    known.failed("c")
    made = assemble(
        registry,
        "p",
        [VALIDATE, ENRICH],
        source="raw",
        sink="rich",
        scores=known,
        exclude=["a"],
        options=Options(pools={1: 2, 2: 5}, pool_capacity=3),
    )
    assert made.members == (("b", "validate"), ("Enrich",))
    shared = made.pipeline.stages[0].agent
    assert isinstance(shared.function, Pool)
    assert [one.name for one in shared.parts] == ["b", "validate"]
    assert PipelineDriver(made.pipeline).run([Raw(title="up")]).outputs == [
        Rich(title="up", country="de")
    ]


def test_what_agents_need_is_added_up_and_held_against_the_machine() -> None:
    registry = AgentRegistry()
    needs = {"memory_mb": 600, "cpu_cores": 1.5, "storage": "1GB"}
    registry.register(validate, resource_requirements=needs)
    registry.register(Enrich, resource_requirements=needs)
    small = Machine(memory_mb=1000, cpu_cores=2, storage_mb=5000)
    request: Any = {"registry": registry, "name": "p", "steps": [VALIDATE, ENRICH]}
    made = assemble(**request, source="raw", options=Options(machine=small))
    assert made.resources.model_dump() == {"memory_mb": 1200, "cpu_cores": 3.0, "storage": 2048}
    assert made.warnings == (
        "pipeline 'p': memory: its agents need 1200 MB, and the machine has 1000",
        "pipeline 'p': cores: its agents need 3 cores, and the machine has 2",
    )
    with pytest.raises(RegistryError, match="pipeline 'p' does not fit the machine: memory: "):
        assemble(**request, source="raw", options=Options(machine=small, refuse_excess=True))
    assert assemble(**request, source="raw").warnings == ()


def test_this_machine_has_something_of_all() -> None:
    machine = this_machine()
    assert min(machine.memory_mb, machine.cpu_cores, machine.storage_mb) > 0
    assert list(lacking(added_up([]), machine)) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (Options(settings={3: {}}), "there is no step 3; they are 1 to 2"),
        (Options(pools={0: 2}), "there is no step 0; they are 1 to 2"),
        (Options(overrides={"Enrihc": {}}), "overrides for 'Enrihc', which was not chosen; chosen"),
        (Options(overrides={"Enrich": {"x": 1}}), r"Enrich\.configuration\.x: there is no such"),
        (Options(settings={1: {"colour": "red"}}), "colour"),
    ],
)
def test_wrong_options_are_told(options: Options, told: str) -> None:
    registry = registry_with(validate, Enrich)
    with pytest.raises((RegistryError, PipelineError), match=told):
        assemble(registry, "p", [VALIDATE, ENRICH], source="raw", options=options)


@agent
def one_each(value: Titled) -> str:
    """Give one."""
    return value.title


@agent
async def many(value: Titled) -> list[str]:
    """Give a list."""
    return [value.title] * 2


@agent
def stream(value: Titled) -> Iterator[Out[str]]:
    """Give one after the other."""
    for key in ("a", "b"):
        yield Out(value.title, key=key)


@agent
def deleting(value: Titled | None) -> Out[str | None]:
    """Pass tombstones on."""
    return Out(None if value is None else value.title, key="k")


@pytest.mark.parametrize(
    ("given_agent", "value", "outputs"),
    [
        (one_each, Valid(title="x"), ["x"]),
        (many, Valid(title="x"), ["x", "x"]),
        (stream, Valid(title="x"), ["x", "x"]),
        (deleting, Valid(title="x"), ["x"]),
    ],
)
def test_agents_of_every_shape_read_another_type(
    given_agent: Agent[Any, Any], value: Any, outputs: list[str]
) -> None:
    reading = read_as(given_agent, Valid)
    assert (reading.name, reading.results) == (given_agent.name, given_agent.results)
    assert [one.name for one in walk(reading)] == [given_agent.name] * 2
    pipeline: Pipeline[Any, Any] = Pipeline("p", source=Topic("in", Valid))
    driven = PipelineDriver(pipeline.stage(reading).sink("out"))
    assert driven.run([value]).outputs == outputs


def test_tombstones_are_passed_on_as_they_are() -> None:
    reading = read_as(deleting, Valid | None)
    assert reading(None) == Out(None, key="k")


def test_a_batch_agent_reads_only_its_own_type() -> None:
    @batch_agent(size=10, capabilities=[ENRICH])
    def enrich_all(values: list[Titled]) -> list[Rich]:
        return [Rich(title=one.title, country="de") for one in values]

    registry = registry_with(validate, enrich_all)
    with pytest.raises(PipelineError, match="the batch agent 'enrich-all' takes Titled, and is"):
        assemble(registry, "p", [VALIDATE, ENRICH], source="raw")
