"""What `PipelineDriver` takes and returns, pinned by `assert_type`: mypy checks this file."""

from collections.abc import Sequence
from typing import assert_type

from streamapp.pipeline.pipeline import Pipeline
from streamapp.testing import Input, Output, PipelineDriver, PipelineResults
from streamapp.topics.topic import Topic
from tests.typing.shapes import A, B, plain

pipeline = Pipeline("p", source=Topic("a", A)).stage(plain).sink("b")
driver = PipelineDriver(pipeline)


def values(items: Sequence[A]) -> None:
    results = driver.run(items)
    assert_type(results, PipelineResults[B])
    assert_type(results.outputs, list[B])
    assert_type(results.records(), list[Output[B]])
    assert_type(results.records(Topic("c", A)), list[Output[A]])
    driver.run([A(1), b"not JSON"])
    driver.run([])


def inputs(items: list[Input[A]]) -> None:
    assert_type(driver.run(items).outputs, list[B])
    driver.run([Input(A(1), key="k"), Input(b"not JSON"), Input(None, key="a tombstone")])


async def running_pipeline() -> None:
    async with driver.start() as running:
        await running.send(A(1), key="k")
        await running.send(None, key="k")
        await running.send_all([A(1), Input(A(2), key="k"), b"not JSON"])
        assert_type(await running.results(), PipelineResults[B])
