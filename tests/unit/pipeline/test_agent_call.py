"""Which outputs the result of an agent means."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import JsonValue

from streamapp import Out, agent
from streamapp.errors import EncodeError, TooManyOutputsError
from streamapp.pipeline.agent_call import AgentCall, key_bytes
from streamapp.pipeline.out import KEEP
from streamapp.serialisation import codec_for


class Text(str):
    """Text of a user's own class."""

    __slots__ = ()


class Blob(bytes):
    """Bytes of a user's own class."""

    __slots__ = ()


@agent
def same(text: str) -> str:
    return text


@agent
def letters(text: str) -> Iterator[str]:
    yield from text


CLOSED: list[str] = []


@agent
async def letters_later(text: str) -> AsyncIterator[str]:
    try:
        for letter in text:
            yield letter
    finally:
        CLOSED.append(text)


def call(made: Any = same, *, gives: Any = str, limit: int = 3) -> AgentCall:
    return AgentCall(
        made,
        stage_id="s",
        gives=codec_for(gives),
        routes={"late", "early"},
        max_outputs=limit,
        threads=ThreadPoolExecutor(1),
    )


def written(outputs: Any) -> list[Any]:
    """The bytes of what an agent has yielded."""
    return [value.data for value, *_ in outputs]


def test_nothing_one_or_several_outputs() -> None:
    assert call().outputs(None) == ()
    assert call().outputs("a") == (("a", KEEP, KEEP, None),)
    assert call().outputs(["a", Out("b")]) == [("a", KEEP, KEEP, None), ("b", KEEP, KEEP, None)]


def test_as_many_outputs_as_are_allowed_with_those_of_earlier_steps() -> None:
    assert len(call().outputs(["a"] * 3)) == 3
    assert len(call().outputs(["a"] * 2, already=1)) == 2
    with pytest.raises(TooManyOutputsError, match="4 outputs of one record"):
        call().outputs(["a"] * 4)
    with pytest.raises(TooManyOutputsError, match="4 outputs of one record"):
        call().outputs(["a"] * 2, already=2)


def test_an_output_of_its_own_key_headers_and_route() -> None:
    out = Out("a", key="ä", headers=[("h", b"1"), ("n", Blob(b"2"))], to="late")
    assert call().output(out) == ("a", "ä".encode(), [("h", b"1"), ("n", b"2")], "late")
    assert call().output(Out("a", key=None, headers=())) == ("a", None, [], None)
    null: Any = [("h", None)]  # Kafka's headers may be null
    assert call().output(Out("a", headers=null)) == ("a", KEEP, null, None)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (5, "stage 's' gave a value of type int, but declares str$"),
        (Out(5), "stage 's' gave a value of type int, but declares str$"),
        (Out("a", to="never"), r"to='never'; its routes are: early, late"),
        (Out("a", key=5), "the key of an output is a value of type int"),  # type: ignore[arg-type]  # a user's slip
        (Out("a", headers=[("h", "1")]), "a header of an output holds a value of type str"),  # type: ignore[list-item]  # the same
        (Out("a", headers=[(b"h", b"1")]), "name of a header of an output is a value of type by"),  # type: ignore[list-item]  # the same
        (Out("a", headers=[("\ud800", b"1")]), "cannot be UTF-8"),
        (Out("a", headers=5), "pairs of a name and bytes"),  # type: ignore[arg-type]  # the same
        (Out("a", headers=["abc"]), "pairs of a name and bytes"),  # type: ignore[list-item]  # the same
    ],
)
def test_what_no_record_can_have_is_refused(value: Any, told: str) -> None:
    with pytest.raises(EncodeError, match=told):
        call().output(value)


@pytest.mark.parametrize(
    ("key", "as_bytes"),
    [(None, None), (b"k", b"k"), ("ä", "ä".encode()), (Text("a"), b"a"), (Blob(b"b"), b"b")],
)
def test_a_key_is_bytes(key: object, as_bytes: bytes | None) -> None:
    made = key_bytes(key)
    assert made == as_bytes
    assert type(made) in (bytes, type(None))


@pytest.mark.parametrize("given", [object, list, Out[str]])
def test_no_result_is_plain_where_any_class_could_be(given: type[Any]) -> None:
    assert call(gives=given).plain is None
    assert call().plain is str


def test_an_agent_that_yields_stops_one_beyond_the_limit() -> None:
    assert written(call(letters).function("abc")) == [b'"a"', b'"b"', b'"c"']
    assert written(call(letters).function("abcdefg")) == [b'"a"', b'"b"', b'"c"', b'"d"']


async def test_an_async_agent_that_yields_stops_one_beyond_the_limit_and_is_closed() -> None:
    assert written(await call(letters_later).function("abc")) == [b'"a"', b'"b"', b'"c"']
    CLOSED.clear()
    found = await call(letters_later).function("abcdefg")
    assert written(found) == [b'"a"', b'"b"', b'"c"', b'"d"']
    assert CLOSED == ["abcdefg"]


@pytest.mark.parametrize(
    ("made", "is_async"), [(same, False), (letters, False), (letters_later, True)]
)
def test_what_is_awaited(made: Any, *, is_async: bool) -> None:
    assert call(made).is_async is is_async


async def test_a_blocking_agent_is_awaited_and_runs_in_a_thread() -> None:
    @agent(blocking=True)
    def slow(text: str) -> str:
        return text

    made = call(slow)
    assert made.is_async
    assert await made.function("a") == "a"


def test_out_none_is_a_tombstone_where_that_is_declared() -> None:
    (value, *rest) = call(gives=str | None).output(Out(None, key="k"))
    assert (value.data, rest) == (None, [b"k", KEEP, None])
    assert call(gives=str | None).outputs(None) == ()
    with pytest.raises(EncodeError, match="gave a value of type int"):
        call(gives=str | None).output(Out(5))
    [(value, *rest)] = call(gives=dict | None).outputs([Out(None)])
    assert (value.data, rest) == (None, [KEEP, KEEP, None])


@pytest.mark.parametrize("gives", [str, dict, bytes, float, int | str, list[int]], ids=str)
def test_out_none_is_refused_where_no_tombstone_is_declared(gives: Any) -> None:
    with pytest.raises(EncodeError, match=r"gave Out\(None\), a tombstone, .* Out\[X \| None\]"):
        call(gives=gives).output(Out(None))


@pytest.mark.parametrize("gives", [Any, object, JsonValue], ids=str)
def test_out_none_is_null_where_any_json_is_a_value(gives: Any) -> None:
    assert call(gives=gives).output(Out(None)) == (None, KEEP, KEEP, None)
    assert call(gives=gives).outputs([None]) == [(None, KEEP, KEEP, None)]
    assert codec_for(gives).encode(None) == b"null"


@pytest.mark.parametrize("gives", [str, str | None, int | str | None], ids=str)
def test_none_in_a_list_is_no_output(gives: Any) -> None:
    with pytest.raises(EncodeError, match="gave None among its outputs; leave it out"):
        call(gives=gives).outputs([None])


def test_a_generator_yields_tombstones() -> None:
    @agent
    def deleting(text: str) -> Iterator[Out[str | None]]:
        yield Out(text)
        yield Out(None, key="k")

    made = call(deleting, gives=str | None)
    assert written(made.outputs(made.function("a"))) == [b'"a"', None]


@pytest.mark.parametrize("value", [5, True, 2**60])
def test_an_integer_is_taken_for_the_float_that_it_is_equal_to(value: int) -> None:
    (promoted, *_) = call(gives=float).output(value)
    assert (type(promoted), promoted) == (float, value)
    (promoted, *_) = call(gives=float | None).output(Out(value))
    assert (type(promoted), promoted) == (float, value)


@pytest.mark.parametrize("value", [2**53 + 1, 10**400])
def test_an_integer_that_no_float_is_equal_to_is_refused(value: int) -> None:
    with pytest.raises(EncodeError, match="an integer that no float is equal to"):
        call(gives=float).output(value)
