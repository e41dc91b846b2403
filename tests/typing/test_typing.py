"""What type checkers say: mypy takes every shape and refuses a mismatch at its call."""

from pathlib import Path

import pytest
from mypy import api

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Results, Shape
from tests.typing import combined, shapes

HERE = Path(__file__).parent

MISMATCH = """\
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import Topic
from streamapp.pipeline.out import Out
from tests.typing.shapes import A, B, back, back_of_tombstones, plain, tombstones
from tests.typing.batches import or_exception

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
wrong_data = good.execute(B(1))
wrong_items = good.execute_many([B(1)])
both = Pipeline("p", source=(Topic("a", A), Topic("b", B)))
takes_one_of_two = both.stage(plain)
no_topic = Pipeline("p", source=(Topic("a", A), "b"))
wrong_of_both = both.execute("text")
of_other_items = Pipeline("p", source=Topic("b", B)).stage(or_exception)
from tests.typing.structs import Given, Taken, of_structs
good_with_structs = Pipeline("p", source=Topic("a", Taken)).stage(of_structs)
other_struct = Pipeline("p", source=Topic("a", Given)).stage(of_structs)
"""

MISMATCHES = {12, 14, 15, 18, 22, 23, 24, 26, 27, 28, 29, 32}
"""The lines of it that type checkers refuse."""


def test_mypy_names_each_mismatch_at_its_line(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(MISMATCH)
    out, _, code = api.run([str(snippet), "--config-file", str(HERE.parents[1] / "pyproject.toml")])
    errors = [line for line in out.splitlines() if ": error:" in line]
    assert code == 1
    assert {int(line.split(":")[1]) for line in errors} == MISMATCHES
    assert 'expected "Agent[B, ' in errors[0]
    assert any(":18: " in line and 'expected "Agent[B | None, ' in line for line in errors)


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


WRONG_COMBINATIONS = """\
from streamapp import branch, chain, choose, fallback, parallel, pool, when
from tests.typing.combined import has_many, is_even, merge, merge_maybe, name, number
from tests.typing.shapes import A, B, back, plain, plain_or_none

good = parallel(branch(name, default=None), number).join(merge_maybe)
wrong_order = parallel(number, name).join(merge)
too_few = parallel(name).join(merge)
other_inputs = parallel(name, back).join(lambda value, a, b: value)
unhandled_none = parallel(branch(name, default=None), number).join(merge)
wrong_chain = chain(plain, name)
wrong_predicate = when(has_many, plain)
not_a_case = choose(plain, otherwise=plain)
not_an_agent = fallback(plain, len)
without_capacity = pool(plain)
no_number = pool(plain, capacity="2")
"""

WRONG_LINES = {6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
"""The lines of it that type checkers refuse."""


def test_mypy_names_each_wrong_combination_at_its_line(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(WRONG_COMBINATIONS)
    out, _, code = api.run([str(snippet), "--config-file", str(HERE.parents[1] / "pyproject.toml")])
    errors = {int(line.split(":")[1]) for line in out.splitlines() if ": error:" in line}
    assert code == 1
    assert errors == WRONG_LINES, out


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("plain", Results()),
        ("plain_or_none", Results(none=True)),
        ("plain_out_or_none", Results(none=True, out=True)),
        ("plain_list", Results(many=True)),
        ("iterator_of_outs", Results(many=True, out=True)),
        ("generator", Results(many=True)),
        ("returned_awaitable", Results(none=True)),
        ("awaitable_list_of_outs", Results(many=True, out=True)),
        ("async_iterator", Results(many=True)),
        ("lookup", Results()),
        ("sink_only", Results(none=True)),
    ],
)
def test_the_annotations_say_what_a_call_may_give(name: str, results: Results) -> None:
    assert getattr(shapes, name).results == results


def test_combinations_say_the_same_at_run_time() -> None:
    joined = parallel(combined.name, combined.number).join(combined.merge)
    assert (joined.input_type, joined.output_type) == (shapes.A, shapes.B)


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
