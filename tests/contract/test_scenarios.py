"""One list of scenarios ends alike in process, on the memory broker and on Kafka."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import StageStoppedError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.execution.results import ExecutionResult
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.trail import header_in, trail_from
from streamapp.policies.describe import describe
from streamapp.policies.policy import retry
from streamapp.record import CONTEXT_HEADER, ERROR_HEADERS, Headers, Record
from streamapp.runtime.config import RuntimeConfig
from streamapp.status import PipelineStatus
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern
from tests.contract.batch_scenarios import BATCHED
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, error_headers, eventually
from tests.contract.scenarios import SCENARIOS, Given, Scenario
from tests.kafka import unique_name

FACTS = ("stage", "class", "message", "reason", "attempts")


@dataclass
class Ending:
    """How a scenario has ended: key, value, headers and trail of each output and dead letter."""

    outputs: list[Any] = field(default_factory=list)
    routed: list[Any] = field(default_factory=list)
    letters: list[Any] = field(default_factory=list)
    stopped_by: str | None = None

    def sorted(self) -> "Ending":
        return Ending(
            sorted(self.outputs, key=repr),
            sorted(self.routed, key=repr),
            sorted(self.letters, key=repr),
            self.stopped_by,
        )


def told(headers: Headers) -> Any:
    """Headers less ours, and what the trail says, without times."""
    ours = (CONTEXT_HEADER, ERROR_HEADERS)
    own = [header for header in headers if not header[0].startswith(ours)]
    header = header_in(headers)
    trail = None if header is None else trail_from(header)
    if trail is None:
        return own, header
    history = [(one.stage_id, one.agent, one.attempts, one.outcome) for one in trail.history]
    errors = [(one.stage_id, one.error, one.error_type) for one in trail.errors]
    return own, (trail.metadata, history, errors)


def pipeline_of(scenario: Scenario, name: str) -> Pipeline[Any, Any]:
    types = {"in": scenario.source, **scenario.others}
    sources: list[Any] = [Topic(f"{name}.{end}", type_) for end, type_ in types.items()]
    if scenario.matching is not None:
        sources.append(TopicPattern(rf"{name}\.many\..*", scenario.matching))
    return scenario.stages(Pipeline(name, source=sources, audit=scenario.audit))


async def in_process(scenario: Scenario, pipeline: Pipeline[Any, Any]) -> Ending:
    ending = Ending()
    async with pipeline.executor() as executor:
        for given in scenario.given():
            result = await executor.execute(
                given.value,
                key=given.key,
                headers=given.headers,
                source=f"{pipeline.name}.{given.source}",
            )
            _add(ending, result)
    return ending.sorted()


def _add(ending: Ending, result: ExecutionResult[Any]) -> None:
    ending.outputs += [(one.key, one.data, told(one.headers)) for one in result.sinks]
    ending.routed += [(o.key, o.data, told(o.headers)) for o in result.routes.get("late", ())]
    for letter in result.dead_letters:
        error = letter.error.original_error
        assert error is not None
        facts = {
            "stage": letter.stage_id,
            "class": type(error).__name__,
            "message": describe(error),
            "reason": letter.reason,
            "attempts": str(letter.attempts),
        }
        ending.letters.append((letter.key, letter.value, told(letter.headers), facts))
    if result.error is not None and not result.dead_letters:
        ending.stopped_by = result.error.stage_id


async def on_broker(scenario: Scenario, pipeline: Pipeline[Any, Any], rig: Rig) -> Ending:
    pipeline = pipeline.sink(rig.out)
    await rig.create(pipeline, partitions=1)
    matching = {f"{rig.name}.{one.source}" for one in scenario.given() if "." in one.source}
    async with rig.subject.admin() as admin:
        await admin.create_topics([TopicSpec(name, 1) for name in matching])
    for given in scenario.given():
        topic = f"{rig.name}.{given.source}"
        await rig.put([(given.key, given.value)], headers=given.headers, topic=topic)
    ending = Ending()
    try:
        await rig.run_to_end(pipeline)
    except StageStoppedError as error:
        ending.stopped_by = error.stage_id
    ending.outputs = [_record(record) for record in await rig.read(rig.out)]
    if scenario.routed:
        ending.routed = [_record(record) for record in await rig.read(f"{rig.name}.late")]
    for stage in pipeline.stages:
        ending.letters += map(_letter, await rig.read(rig.dead_letters(stage.stage_id)))
    return ending.sorted()


def _record(record: Record) -> Any:
    return record.key, record.value, told(record.headers)


def _letter(record: Record) -> Any:
    facts = error_headers(record)
    return record.key, record.value, told(record.headers), {name: facts[name] for name in FACTS}


def items(outputs: Sequence[Any]) -> list[tuple[int, str]]:
    values = [orjson.loads(value) for _, value, _ in outputs if value is not None]
    return sorted((value["n"], value.get("text", "")) for value in values)


@pytest.mark.parametrize("scenario", [*SCENARIOS, *BATCHED], ids=lambda scenario: scenario.name)
async def test_a_scenario_ends_alike_in_process_and_on_a_broker(
    subject: Subject, scenario: Scenario
) -> None:
    rig = Rig(subject, unique_name("scenario"))
    pipeline = pipeline_of(scenario, rig.name)
    ending = await in_process(scenario, pipeline)
    assert items(ending.outputs) == sorted(scenario.outputs)
    assert items(ending.routed) == sorted(scenario.routed)
    letters = [(facts["stage"], facts["reason"]) for _, _, _, facts in ending.letters]
    assert sorted(letters) == sorted(scenario.letters)
    assert ending.stopped_by == scenario.stopped_by
    assert await on_broker(scenario, pipeline, rig) == ending


async def test_a_cancelled_attempt_leaves_nothing_behind_anywhere(subject: Subject) -> None:
    seen: list[str] = []

    @agent
    async def endless(item: Item) -> Item:
        seen.append("began")
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return item

    rig = Rig(subject, unique_name("scenario"))
    pipeline = rig.pipeline().stage(endless, on_error=retry(3))
    context = Context()
    task = asyncio.create_task(pipeline.execute(Given(b'{"n":1}').value, context))
    await eventually(lambda: seen == ["began"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (seen, context.status) == (["began", "cancelled"], PipelineStatus.CANCELLED)

    seen.clear()
    pipeline = pipeline.sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items([1])
    async with rig.running(pipeline, config=RuntimeConfig(shutdown_drain_seconds=0.1)):
        await eventually(lambda: seen == ["began"])
    assert seen == ["began", "cancelled"]
    assert await rig.read(rig.out) == await rig.read(rig.dead_letters("endless")) == []
    assert not any((await rig.committed("endless")).values())
