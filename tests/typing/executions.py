"""What `execute` takes and returns, pinned by `assert_type`: mypy checks this file."""

from collections.abc import AsyncIterator
from typing import assert_type

from streamapp.pipeline.context import PipelineContext
from streamapp.pipeline.execution.results import ExecutionOutput, ExecutionResult
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import Topic
from tests.typing.shapes import A, B, plain

pipeline = Pipeline("p", source=Topic("a", A)).stage(plain)


async def once() -> None:
    result = await pipeline.execute(A(1), PipelineContext(metadata={"a": 1}), key="k")
    assert_type(result, ExecutionResult[B])
    assert_type(result.output, B | None)
    assert_type(result.outputs, list[B])
    for sink in result.sinks:
        assert_type(sink, ExecutionOutput[B])
        assert_type(sink.value, B)
    await pipeline.execute(b"not JSON")


async def often(items: AsyncIterator[A]) -> None:
    async for result in pipeline.execute_many([A(1), A(2)], concurrency=2):
        assert_type(result, ExecutionResult[B])
    async for result in pipeline.execute_many(items):
        assert_type(result.output, B | None)
    async with pipeline.executor() as executor:
        assert_type((await executor.execute(A(1))).output, B | None)
