"""Waiting with a deadline: a failure says what was waited for, and what was there instead."""

import ast
import asyncio
import inspect
import linecache
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import CodeType
from typing import Any

_MOST_TOLD = 2000
_ASK_SECONDS = 1.0
_UNKNOWN = object()


@asynccontextmanager
async def within(
    seconds: float, what: str, there: Callable[[], object] | None = None
) -> AsyncIterator[None]:
    """Give the block so long.

    Args:
        seconds: how long.
        what: what is waited for, to complete "waited for ...".
        there: asked for what was there when the time was over; its answer may have to be awaited.

    Raises:
        TimeoutError: it took longer.
    """
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            yield
    except TimeoutError as error:
        if not deadline.expired():
            raise
        found = "" if there is None else f"; there was {_cut(repr(await _answer(there())))}"
        raise TimeoutError(f"waited {seconds:g} s for {what}{found}") from error


async def eventually(
    condition: Callable[[], Any], *, seconds: float, pause_seconds: float = 0.01
) -> None:
    """Wait until a condition holds; its awaited form as well.

    Raises:
        TimeoutError: it did not in time. The text of the condition says what was waited for, and
            if it compares something, the values of both sides say what was there.
    """
    async with within(seconds, _text_of(condition), lambda: _sides_of(condition)):
        while True:
            holds = condition()
            if isinstance(holds, Awaitable):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(pause_seconds)


def _text_of(condition: Callable[[], Any]) -> str:
    """The source of a lambda's body, or the name of a function."""
    code = getattr(condition, "__code__", None)
    if not isinstance(code, CodeType):
        return repr(condition)
    if code.co_name != "<lambda>":
        return f"{code.co_name} of {Path(code.co_filename).name}"
    places = [
        (line, column, last_line, end)
        for line, last_line, column, end in code.co_positions()
        if line is not None and last_line is not None and column is not None and end
    ]
    (first, start), (last, end) = min(p[:2] for p in places), max(p[2:] for p in places)
    text = [linecache.getline(code.co_filename, number) for number in range(first, last + 1)]
    text[-1] = text[-1].encode()[:end].decode()
    text[0] = text[0].encode()[start:].decode()
    return " ".join(part.strip() for part in text)


async def _sides_of(condition: Callable[[], Any]) -> dict[str, object]:
    """What stands on each side of a comparison, and whatever else can be asked for again.

    Of a function that has to be awaited, these are its answer and its arguments.
    """
    try:
        body = ast.parse(_text_of(condition), mode="eval").body
        names = _names_of(condition)
    except (SyntaxError, TypeError, ValueError):
        return {}
    found: dict[str, object] = {}
    for side in [body.left, *body.comparators] if isinstance(body, ast.Compare) else [body]:
        value = _value_of(side, names)
        if isinstance(value, Awaitable):
            found[ast.unparse(side)] = await _answer(value)
            for part in side.args if isinstance(side, ast.Call) else ():
                if (argument := _value_of(part, names)) is not _UNKNOWN:
                    found[ast.unparse(part)] = await _answer(argument)
        elif value is not _UNKNOWN:
            found[ast.unparse(side)] = value
    return found


def _names_of(condition: Callable[[], Any]) -> dict[str, object]:
    known = inspect.getclosurevars(condition)
    parameters = inspect.signature(condition).parameters
    defaults = {name: one.default for name, one in parameters.items()}
    return {**known.builtins, **known.globals, **known.nonlocals, **defaults}


def _value_of(part: ast.expr, names: dict[str, object]) -> object:
    """The value of a part of a condition; an error is told in its place."""
    if isinstance(part, ast.Constant) or any(isinstance(n, ast.Await) for n in ast.walk(part)):
        return _UNKNOWN
    try:
        return eval(ast.unparse(part), names)  # noqa: S307 - a part of the test's own code
    except Exception as error:  # noqa: BLE001 - it is told in place of the value
        return error


async def _answer(value: object) -> object:
    """The value, awaited if it has to be; an error is told in its place."""
    if not isinstance(value, Awaitable):
        return value
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            return await value
    except Exception as error:  # noqa: BLE001 - it is told in place of the value
        return error


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TOLD else f"{text[:_MOST_TOLD]} ..."
