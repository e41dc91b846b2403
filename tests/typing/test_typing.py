"""What type checkers say: mypy takes every shape and refuses a mismatch at its call."""

from pathlib import Path

import pytest
from mypy import api

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Shape
from tests.typing import shapes

HERE = Path(__file__).parent

MISMATCH = """\
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import Topic
from streamapp.pipeline.out import Out
from tests.typing.shapes import A, B, back, back_of_tombstones, plain, tombstones

good = Pipeline("p", source=Topic("a", A)).stage(plain).stage(back)
wrong_stage = (
    Pipeline("p", source=Topic("a", A))
    .stage(plain)
    .stage(plain)
)
wrong_sink = Pipeline("p", source=Topic("a", A)).stage(plain).sink(Topic("b", A))
not_an_agent = Pipeline("p", source=Topic("a", A)).stage(len)
start = Pipeline("p", source=Topic("a", A)).stage(tombstones)
good_with_tombstones = start.stage(back_of_tombstones)
takes_no_tombstones = start.stage(back)

@agent
def undeclared(value: A) -> Out[B]:
    return Out(None)
"""


def test_mypy_names_each_mismatch_at_its_line(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(MISMATCH)
    out, _, code = api.run([str(snippet), "--config-file", str(HERE.parents[1] / "pyproject.toml")])
    errors = [line for line in out.splitlines() if ": error:" in line]
    assert code == 1
    assert {int(line.split(":")[1]) for line in errors} == {11, 13, 14, 17, 21}
    assert 'expected "Agent[B, ' in errors[0]
    assert any(":17: " in line and 'expected "Agent[B | None, ' in line for line in errors)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("plain", Shape.PLAIN),
        ("plain_list_of_outs", Shape.PLAIN),
        ("iterator_of_outs", Shape.ITERATOR),
        ("iterator_with_context", Shape.ITERATOR),
        ("generator", Shape.ITERATOR),
        ("returned_awaitable", Shape.ASYNC),
        ("awaitable_or_none", Shape.ASYNC),
        ("awaitable_list_of_outs", Shape.ASYNC),
        ("async_iterator", Shape.ASYNC_ITERATOR),
        ("async_iterator_with_context", Shape.ASYNC_ITERATOR),
        ("lookup", Shape.ASYNC),
    ],
)
def test_the_annotations_say_the_same_at_run_time(name: str, shape: Shape) -> None:
    made: Agent[shapes.A, shapes.B] = getattr(shapes, name)
    assert (made.input_type, made.output_type, made.shape) == (shapes.A, shapes.B, shape)
    assert made.takes_context == name.endswith("with_context")


def test_an_agent_is_called_as_it_was_written() -> None:
    assert shapes.plain(shapes.A(3)) == shapes.B(3)


def test_an_agent_without_annotations_is_refused() -> None:
    with pytest.raises(PipelineError, match="parameter 'value' has no type"):
        agent(lambda value: value)


def test_types_can_be_given_instead_of_annotations() -> None:
    made: Agent[int, int] = agent(name="twice", input_type=int, output_type=int)(lambda x: 2 * x)
    assert (made.name, made.input_type, made.output_type) == ("twice", int, int)


def test_out_and_bare_values_are_not_mixed() -> None:
    def mixed(value: int) -> Out[int] | int:
        return value

    with pytest.raises(PipelineError, match="return one or the other"):
        agent(mixed)
