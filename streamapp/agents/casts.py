"""Casts that change the form of a value, never what it says; what does not fit is refused."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from streamapp.agents.kinds import UnfitError, is_number, kind_of


class Cast(StrEnum):
    """What a value is cast to.

    `integer`, `number` and `boolean` read the text that JSON has for them, `string` writes it, and
    `date_time` reads ISO 8601 with an offset and writes the same moment in UTC.
    """

    INTEGER = "integer"
    NUMBER = "number"
    STRING = "string"
    BOOLEAN = "boolean"
    DATE_TIME = "date_time"


def cast(value: Any, to: Cast) -> Any:
    """The value in another form.

    Raises:
        UnfitError: it does not fit.
    """
    return _CASTS[to](value)


_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,308})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,308})(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
_LARGEST_EXACT = 2.0**53
_FINER_THAN_MICROSECONDS = re.compile(r"[.,][0-9]{7}")


def _integer(value: Any) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise UnfitError("the text is no integer")
        return int(value)
    if not is_number(value):
        raise UnfitError(f"{kind_of(value)} is no integer")
    if isinstance(value, float) and not (value.is_integer() and abs(value) <= _LARGEST_EXACT):
        raise UnfitError("the number is no integer, or too large to be certain")
    return int(value)


def _number(value: Any) -> float | int:
    if isinstance(value, str):
        return _number_in(value)
    if not is_number(value):
        raise UnfitError(f"{kind_of(value)} is no number")
    number: float | int = value
    return number


def _number_in(text: str) -> float | int:
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        raise UnfitError("the text is no number")
    number = float(text)
    if not math.isfinite(number) or Decimal(repr(number)) != Decimal(text):
        raise UnfitError("the text has more digits than a number can hold")
    return number


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if not is_number(value):
        raise UnfitError(f"{kind_of(value)} has no text")
    return repr(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise UnfitError(f"{kind_of(value)} is no boolean")
    if value not in ("true", "false"):
        raise UnfitError("the text is neither 'true' nor 'false'")
    return value == "true"


def _date_time(value: Any) -> str:
    if not isinstance(value, str):
        raise UnfitError(f"{kind_of(value)} is no date and time")
    if _FINER_THAN_MICROSECONDS.search(value):
        raise UnfitError("the date and time is finer than microseconds")
    try:
        read = datetime.fromisoformat(value)
        moment = read.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnfitError("the text is no date and time in ISO 8601") from error
    if read.tzinfo is None:
        raise UnfitError("the date and time has no offset from UTC")
    return moment.isoformat().removesuffix("+00:00") + "Z"


_CASTS: Mapping[Cast, Callable[[Any], Any]] = {
    Cast.INTEGER: _integer,
    Cast.NUMBER: _number,
    Cast.STRING: _string,
    Cast.BOOLEAN: _boolean,
    Cast.DATE_TIME: _date_time,
}
