"""What annotations say at run time, beyond the shapes that tests/typing pins."""

import typing
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from functools import lru_cache, partial, wraps
from typing import Annotated, Any

import pytest
from pydantic import Field

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Shape, inspect_signature


async def double(value: int) -> int:
    return 2 * value


def awaitable(value: int) -> Awaitable[int | None]:
    return double(value)


def coroutine(value: int) -> Coroutine[Any, Any, list[Out[int]]]:
    raise NotImplementedError


def iterable_generator(value: int) -> Iterable[int]:
    yield value


def generator(value: int) -> Generator[Out[int], None, None]:
    yield Out(value)


def returned_iterator(value: int) -> Iterator[int]:
    return iter([value])


async def async_iterable_generator(value: int) -> AsyncIterable[int]:
    yield value


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (awaitable, Shape.ASYNC),
        (coroutine, Shape.ASYNC),
        (iterable_generator, Shape.ITERATOR),
        (generator, Shape.ITERATOR),
        (returned_iterator, Shape.ITERATOR),
        (async_iterable_generator, Shape.ASYNC_ITERATOR),
    ],
)
def test_what_wraps_the_outputs_is_taken_off(function: Callable[..., Any], shape: Shape) -> None:
    signature = inspect_signature(function)
    assert (signature.shape, signature.output_type) == (shape, int)


def plain_iterable(value: int) -> Iterable[int]:
    return [value]


def perhaps_iterator(value: int) -> Iterator[int] | None:
    return iter([value]) if value else None


def awaited_iterator(value: int) -> Awaitable[Iterator[int]]:
    raise NotImplementedError


async def coroutine_of_iterator(value: int) -> Iterator[int]:
    return iter([value])


async def coroutine_of_async_iterator(value: int) -> AsyncIterator[int]:
    raise NotImplementedError


async def coroutine_of_awaitable(value: int) -> Awaitable[int]:
    return double(value)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (plain_iterable, "Iterable"),
        (perhaps_iterator, "Iterator"),
        (awaited_iterator, "Iterator"),
        (coroutine_of_iterator, "Iterator"),
        (coroutine_of_async_iterator, "AsyncIterator"),
        (coroutine_of_awaitable, "Awaitable"),
    ],
)
def test_what_nobody_would_walk_through_is_refused(function: Callable[..., Any], name: str) -> None:
    with pytest.raises(PipelineError, match=f"agent {function.__name__}: .* return {name} here"):
        inspect_signature(function)


@pytest.mark.parametrize("bare", [Iterator, typing.Iterator, Awaitable, typing.List])  # noqa: UP006 - the old spelling
def test_a_container_that_does_not_say_what_it_holds_is_refused(bare: Any) -> None:
    def vague(value: int) -> Any:
        raise NotImplementedError

    vague.__annotations__["return"] = bare
    with pytest.raises(PipelineError, match="annotate the type of the outputs"):
        inspect_signature(vague)


def of_nothing() -> int:
    return 1


def of_three(value: int, context: Context, more: int) -> int:
    return value + more + context.attempt


@pytest.mark.parametrize(
    ("function", "count"), [(of_nothing, 0), (of_three, 3)], ids=["none", "three"]
)
def test_an_agent_takes_a_value_or_a_value_and_a_context(
    function: Callable[..., Any], count: int
) -> None:
    with pytest.raises(PipelineError, match=rf"this one takes {count} parameters$"):
        inspect_signature(function)


def with_default(value: int, factor: int = 2) -> int:
    return value * factor


def with_perhaps_context(value: int, context: Context | None = None) -> int:
    return value if context is None else context.attempt


def with_default_context(value: int, context: Context = None) -> int:  # type: ignore[assignment]  # some write it so
    return value + context.attempt


@pytest.mark.parametrize(
    ("function", "takes_context"),
    [(with_default, False), (with_perhaps_context, False), (with_default_context, True)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_second_parameter_with_a_default_is_given_only_if_it_is_a_context(
    function: Callable[..., Any], *, takes_context: bool
) -> None:
    assert inspect_signature(function).takes_context is takes_context


def second_is_no_context(value: int, other: str) -> int:
    raise NotImplementedError


def three(value: int, context: Context, more: int) -> int:
    raise NotImplementedError


def none_at_all() -> int:
    raise NotImplementedError


def untyped(value: int) -> int:
    raise NotImplementedError


untyped.__annotations__.pop("value")


def silent(value: int) -> int:
    raise NotImplementedError


silent.__annotations__.pop("return")


def unknown(value: int) -> int:
    raise NotImplementedError


unknown.__annotations__["value"] = "NoSuchType"


def mixed(value: int) -> Out[int] | int:
    raise NotImplementedError


class Doubles:
    def __call__(self, value: int) -> int:
        return 2 * value


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (5, "cannot be called"),
        (Doubles, "give an instance"),
        (second_is_no_context, "second parameter 'other' must be a Context"),
        (three, "this one takes 3 parameters"),
        (none_at_all, "this one takes 0 parameters"),
        (untyped, "parameter 'value' has no type"),
        (silent, "it has no return type"),
        (unknown, "annotations cannot be resolved"),
        (mixed, "return one or the other"),
    ],
)
def test_what_cannot_be_an_agent_is_told(function: Any, told: str) -> None:
    with pytest.raises(PipelineError, match=told):
        inspect_signature(function)


def test_types_that_are_given_stand_in_for_annotations() -> None:
    assert inspect_signature(untyped, input_type=str).input_type is str
    assert inspect_signature(silent, output_type=str).output_type is str


def test_an_object_that_can_be_called_is_read_by_its_call() -> None:
    signature = inspect_signature(Doubles())
    assert (signature.input_type, signature.output_type) == (int, int)
    assert not signature.takes_context


def with_rest(value: int, *rest: int, **more: int) -> int:
    raise NotImplementedError


def with_context_and_rest(value: int, context: Context, *rest: int, more: int = 1) -> int:
    raise NotImplementedError


def test_what_can_be_left_out_is_no_context() -> None:
    assert not inspect_signature(with_rest).takes_context
    assert inspect_signature(with_context_and_rest).takes_context


def perhaps(value: int) -> int | None:
    raise NotImplementedError


def plain(value: int) -> int | str | None:
    raise NotImplementedError


def returned_async_iterator(value: int) -> AsyncIterator[int]:
    raise NotImplementedError


def returned_coroutine(value: int) -> Coroutine[str, bytes, int]:
    raise NotImplementedError


def test_the_shape_of_a_function_that_is_neither_async_nor_a_generator() -> None:
    assert inspect_signature(plain).shape is Shape.PLAIN
    assert inspect_signature(returned_async_iterator).shape is Shape.ASYNC_ITERATOR
    assert inspect_signature(returned_coroutine).shape is Shape.ASYNC
    assert inspect_signature(returned_coroutine).output_type is int


def test_outputs_of_several_types_keep_them_all() -> None:
    assert inspect_signature(plain).output_type == (int | str)


def outs(value: int) -> Out[int] | Out[str]:
    raise NotImplementedError


def test_several_kinds_of_out_are_no_mixture() -> None:
    assert inspect_signature(outs).output_type == int | str


def with_keyword(value: int, *, client: str) -> int:
    """Needs a client."""
    raise NotImplementedError


def with_first(client: str, value: int, context: Context) -> int:
    raise NotImplementedError


async def with_first_async(client: str, value: int) -> int:
    raise NotImplementedError


def test_a_keyword_that_nobody_gives_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        PipelineError, match=r"nobody gives its keyword 'client'.*partial\(with_key"
    ):
        inspect_signature(with_keyword)


@pytest.mark.parametrize(
    ("function", "shape", "takes_context"),
    [
        (partial(with_keyword, client="a"), Shape.PLAIN, False),
        (partial(with_first, "a"), Shape.PLAIN, True),
        (partial(with_first_async, "a"), Shape.ASYNC, False),
        (partial(Doubles()), Shape.PLAIN, False),
        (partial(partial(with_first, "a")), Shape.PLAIN, True),
        (lru_cache(perhaps), Shape.PLAIN, False),
    ],
)
def test_a_function_with_some_parameters_given_is_read_as_what_is_left(
    function: Callable[..., Any], shape: Shape, *, takes_context: bool
) -> None:
    signature = inspect_signature(function)
    assert (signature.shape, signature.takes_context) == (shape, takes_context)
    assert (signature.input_type, signature.output_type) == (int, int)


def test_a_partial_has_name_and_description_of_its_function() -> None:
    made = agent(partial(with_keyword, client="a"))
    assert (made.name, made.description) == ("with-keyword", "Needs a client.")


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function in a plain one, as decorators of other libraries do."""

    @wraps(function)
    def call(*args: Any) -> Any:
        return function(*args)

    return call


def test_a_plain_wrapper_is_read_as_what_it_wraps() -> None:
    signature = inspect_signature(timed(perhaps))
    assert (signature.shape, signature.input_type, signature.output_type) == (Shape.PLAIN, int, int)
    assert inspect_signature(timed(awaitable)).shape is Shape.ASYNC
    assert inspect_signature(timed(generator)).shape is Shape.ITERATOR


@pytest.mark.parametrize("function", [double, async_iterable_generator])
def test_a_plain_wrapper_around_what_is_not_plain_is_refused(function: Callable[..., Any]) -> None:
    for wrapped in (timed(function), lru_cache(function)):
        with pytest.raises(PipelineError, match="a plain function"):
            inspect_signature(wrapped)


def test_a_function_whose_parameters_are_unknown_is_refused() -> None:
    with pytest.raises(PipelineError, match="agent"):
        inspect_signature(max, int, int)


Positive = Annotated[int, Field(gt=0)]


def annotated(value: Positive) -> Annotated[int | None, "why"]:
    raise NotImplementedError


def annotated_outs(value: int, context: Annotated[Context, "why"]) -> list[Out[Positive]] | None:
    raise NotImplementedError


def test_what_annotated_adds_to_a_type_is_kept_and_what_wraps_it_is_not() -> None:
    assert inspect_signature(annotated).input_type == Positive
    assert inspect_signature(annotated).output_type is int
    signature = inspect_signature(annotated_outs)
    assert (signature.output_type, signature.takes_context) == (Positive, True)


def declared(value: int | None) -> Out[int | None]:
    raise NotImplementedError


def declared_or_filtered(value: int) -> Out[int | None] | None:
    raise NotImplementedError


async def declared_later(value: int) -> list[Out[int | None]] | None:
    raise NotImplementedError


def declared_one_by_one(value: int) -> Iterator[Out[int | None]]:
    raise NotImplementedError


@pytest.mark.parametrize(
    "function", [declared, declared_or_filtered, declared_later, declared_one_by_one]
)
def test_tombstones_are_declared_within_out(function: Callable[..., Any]) -> None:
    assert inspect_signature(function).output_type == (int | None)


def test_none_beside_an_output_is_no_tombstone() -> None:
    assert inspect_signature(perhaps).output_type is int
    assert inspect_signature(declared).input_type == (int | None)


def list_out(value: int) -> Out[list[int]]:
    raise NotImplementedError


def test_the_value_of_an_out_may_be_a_list() -> None:
    assert inspect_signature(list_out).output_type == list[int]


def only_tombstones(value: int) -> Out[None]:
    raise NotImplementedError


def perhaps_in_a_list(value: int) -> list[int | None]:
    raise NotImplementedError


async def perhaps_yielded(value: int) -> AsyncIterator[int | None]:
    yield value


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (only_tombstones, r"name what its tombstones delete: Out\[X \| None\]"),
        (perhaps_in_a_list, "None among several outputs is none of them"),
        (perhaps_yielded, "None among several outputs is none of them"),
    ],
)
def test_a_none_that_is_no_declared_tombstone_is_refused(
    function: Callable[..., Any], told: str
) -> None:
    with pytest.raises(PipelineError, match=told):
        inspect_signature(function)
