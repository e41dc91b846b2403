"""What a Faust agent becomes, and what is refused."""

import subprocess
import sys
from typing import Any
from uuid import uuid4

import faust
import pytest
from pydantic import BaseModel

from streamapp import Bundle, Pipeline, Topic, agent, chain, retry, retry_later
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import ConsumerConfig
from streamapp.clock import SystemClock
from streamapp.errors import ConfigurationError, PipelineError
from streamapp.faust_adapter import faust_agent
from streamapp.faust_adapter.faust_reader import FaustReader
from streamapp.pipeline.bundle import build_bundle
from streamapp.pipeline.promises import not_promised
from streamapp.pipeline.stage import Ordering, StageConfig
from streamapp.pipeline.topology import build
from streamapp.record import TopicPartition
from streamapp.registry.derive import modules_of


class Sum(BaseModel):
    total: int


def application(**settings: Any) -> faust.App:
    return faust.App(f"app-{uuid4().hex[:8]}", broker="kafka://127.0.0.1:9092", **settings)


def counting(app: faust.App, **settings: Any) -> Any:
    @app.agent(app.topic("orders"), **settings)
    async def count(stream: Any) -> Any:
        async for value in stream:
            yield value

    return count


def pipeline_of(app: faust.App, **settings: Any) -> Pipeline[Any, Any]:
    source = Topic("orders", bytes)
    return Pipeline("shop", source=source).stage(faust_agent(counting(app), Sum), **settings)


def test_its_stage_has_the_group_of_the_application_and_works_on_one_record_at_a_time() -> None:
    app = application()
    topology = build(pipeline_of(app).sink("sums"))
    segment = topology.segments[0]
    config = segment.steps[0].stage.config
    assert segment.group == app.conf.id
    assert segment.name == "count"
    assert "tables_change_once" in {one.rule for one in not_promised(topology)}
    assert (config.concurrency, config.ordering) == (1, Ordering.PARTITION)


def test_something_else_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"takes what @app.agent\(topic\) of Faust has made"):
        faust_agent(lambda stream: stream)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"concurrency": 4}, "has concurrency 4, with which Faust loses records"),
        ({"isolated_partitions": True}, "has isolated_partitions"),
        ({"sink": ["elsewhere"]}, "has sinks, to which Faust writes without waiting"),
    ],
)
def test_an_agent_that_cannot_be_a_stage_is_refused(settings: Any, told: str) -> None:
    app = application()
    if "sink" in settings:
        settings = {"sink": [app.topic("elsewhere")]}
    with pytest.raises(PipelineError, match=told):
        faust_agent(counting(app, **settings))


def test_an_agent_that_reads_no_topic_by_its_name_is_refused() -> None:
    app = application()
    for channel in (app.channel(), app.topic(pattern="orders.*")):

        @app.agent(channel, name=f"agent-{uuid4().hex[:8]}")
        async def reads(stream: Any) -> None:
            async for _ in stream:
                pass

        with pytest.raises(PipelineError, match="reads no topic by its name"):
            faust_agent(reads)


def test_an_agent_may_be_declared_twice_and_is_changed_by_neither() -> None:
    counted = counting(application())
    before = counted.fun, counted.channel
    first, second = faust_agent(counted, Sum), faust_agent(counted, Sum)
    assert (counted.fun, counted.channel) == before
    for one in (first, second):
        build(Pipeline("shop", source=Topic("orders", bytes)).stage(one).sink("sums"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"concurrency": 2}, "works on one record at a time"),
        ({"ordering": "unordered"}, "works on one record at a time"),
        ({"on_error": retry_later([60])}, "reads no retry topics"),
        ({"renamed_from": "old"}, "drop renamed_from"),
    ],
)
def test_a_setting_that_such_a_stage_cannot_have_is_refused(settings: Any, told: str) -> None:
    with pytest.raises(PipelineError, match=told):
        build(pipeline_of(application(), **settings).sink("sums"))


def test_settings_that_say_nothing_of_it_are_no_obstacle() -> None:
    topology = build(pipeline_of(application(), config=StageConfig(timeout_seconds=3)).sink("sums"))
    config = topology.segments[0].steps[0].stage.config
    assert (config.timeout_seconds, config.concurrency) == (3, 1)
    with pytest.raises(PipelineError, match="works on one record at a time"):
        build(pipeline_of(application(), config=StageConfig(concurrency=2)).sink("sums"))


def test_a_configuration_file_may_name_it_where_the_module_of_its_function_is_allowed() -> None:
    assert modules_of(faust_agent(counting(application()), Sum)) == [__name__]


def test_without_the_extra_it_is_said_what_to_install() -> None:
    program = """
import sys
sys.modules["faust"] = None  # as if it were not installed
from streamapp.errors import ConfigurationError
try:
    from streamapp.faust_adapter import faust_agent
except ConfigurationError as error:
    print(error)
"""
    ran = subprocess.run(  # noqa: S603 - a program of this test
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("a stage of a Faust agent needs faust-streaming")
    assert ran.stdout.strip().endswith("install streamapp[faust]")


def test_another_topic_than_that_of_the_agent_is_refused() -> None:
    other = Pipeline("shop", source=Topic("others", bytes))
    with pytest.raises(PipelineError, match="reads orders, but the stage reads others"):
        build(other.stage(faust_agent(counting(application()), Sum)).sink("sums"))


def test_it_cannot_be_fused_nor_be_a_part_of_another_agent() -> None:
    @agent
    def raw(value: bytes) -> bytes:
        return value

    @agent
    def total(value: Sum) -> int:
        return value.total

    counted = faust_agent(counting(application()), Sum)
    before = Pipeline("shop", source=Topic("raw", bytes)).stage(raw)
    with pytest.raises(PipelineError, match="drop fused"):
        build(before.stage(counted, fused=True).sink("sums"))
    both = chain(counted, total)
    with pytest.raises(PipelineError, match="cannot be a part of another"):
        build(Pipeline("shop", source=Topic("orders", bytes)).stage(both).sink("sums"))


def test_it_may_read_what_the_stage_before_it_writes() -> None:
    @agent
    def raw(value: bytes) -> bytes:
        return value

    counted = faust_agent(counting(application()), Sum)
    before = Pipeline("shop", source=Topic("raw", bytes)).stage(raw, output=Topic("orders", bytes))
    assert len(build(before.stage(counted).sink("sums")).segments) == 2


def test_it_cannot_be_in_a_bundle() -> None:
    with pytest.raises(PipelineError, match="in a group of its own; run this pipeline outside"):
        build_bundle(Bundle("small", [pipeline_of(application()).sink("sums")]))


def reader_of(pipeline: Pipeline[Any, Any]) -> FaustReader:
    reader = pipeline.declarations[0].stage.agent.reader
    assert isinstance(reader, FaustReader)
    return reader


def test_it_needs_kafka() -> None:
    with pytest.raises(ConfigurationError, match="reads from Kafka, not from the memory broker"):
        reader_of(pipeline_of(application())).broker(MemoryBroker(SystemClock()))


async def test_it_cannot_be_executed_in_process() -> None:
    pipeline = pipeline_of(application(), on_error=retry(0)).sink("sums")
    with pytest.raises(PipelineError, match="cannot be executed in process"):
        await pipeline.execute(b"{}")


class Servers(MemoryBroker):
    """As far as a reader looks, Kafka at this address."""

    servers = ("127.0.0.1:9092",)


def test_exactly_once_is_refused_because_faust_does_not_keep_it_here() -> None:
    app = application(processing_guarantee="exactly_once")
    with pytest.raises(ConfigurationError, match="processing_guarantee is exactly_once"):
        reader_of(pipeline_of(app)).broker(Servers(SystemClock()))


def test_sending_at_a_commit_of_faust_is_refused_because_the_stage_commits() -> None:
    app = application(stream_publish_on_commit=True)
    with pytest.raises(ConfigurationError, match="stream_publish_on_commit lets Faust send when"):
        reader_of(pipeline_of(app)).broker(Servers(SystemClock()))


def test_a_producer_of_its_own_is_refused_because_nobody_knows_what_it_has_written() -> None:
    app = application()
    assert app.producer is not None  # it is made when it is first asked for
    with pytest.raises(ConfigurationError, match="sends by a producer of its own"):
        reader_of(pipeline_of(app)).broker(Servers(SystemClock()))


def test_the_application_and_the_worker_have_to_use_the_same_broker() -> None:
    app = faust.App("elsewhere", broker="kafka://10.0.0.1:9092")
    with pytest.raises(ConfigurationError, match=r"uses the broker 10\.0\.0\.1:9092, and this"):
        reader_of(pipeline_of(app)).broker(Servers(SystemClock()))


def consumed(app: faust.App) -> Any:
    """The agent of an application as Faust sees it, once a consumer of its stage was made."""
    pipeline = pipeline_of(app)
    broker = reader_of(pipeline).broker(Servers(SystemClock()))
    broker.consumer(ConsumerConfig(app.conf.id, ("orders",)), Silent())
    return next(iter(app.agents.values()))


class Silent:
    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is assigned here."""

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """The same."""


def test_faust_commits_nothing_by_itself_whatever_an_agent_acknowledges() -> None:
    channel = consumed(application()).channel
    assert channel.topics == ("orders",)
    assert not channel.acks


def test_a_stage_that_is_held_for_weeks_stays_a_member_of_its_group() -> None:
    app = application(broker_max_poll_interval=8)
    consumed(app)
    assert app.conf.broker_max_poll_interval > 30 * 24 * 3600


async def test_two_agents_that_read_one_topic_are_refused() -> None:
    app = application()
    counted = counting(app)

    @app.agent(app.topic("orders"))
    async def second(stream: Any) -> None:
        async for _ in stream:
            pass

    for one in (counted, second):
        stage = Pipeline("shop", source=Topic("orders", bytes)).stage(faust_agent(one))
        broker = reader_of(stage).broker(Servers(SystemClock()))
        broker.consumer(ConsumerConfig(app.conf.id, ("orders",)), Silent())
    with pytest.raises(ConfigurationError, match="both read orders, in one group"):
        await reader_of(stage).embedded.start()


async def test_agents_of_the_application_that_are_no_stages_are_told() -> None:
    app = application()
    other = pipeline_of(app)

    @app.agent(app.topic("others"))
    async def lonely(stream: Any) -> None:
        async for _ in stream:
            pass

    embedded = reader_of(other).embedded
    with pytest.raises(ConfigurationError, match="agents that are no stage of this worker"):
        await embedded.start()
