"""Casts: another form of the same value, or a refusal."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.agents.casts import Cast, cast


@pytest.mark.parametrize(
    ("value", "to", "expected"),
    [
        ("42", Cast.INTEGER, 42),
        (42.0, Cast.INTEGER, 42),
        ("-7", Cast.NUMBER, -7),
        ("0.1", Cast.NUMBER, 0.1),
        ("1e3", Cast.NUMBER, 1000.0),
        (3, Cast.NUMBER, 3),
        (3, Cast.STRING, "3"),
        (0.5, Cast.STRING, "0.5"),
        (True, Cast.STRING, "true"),
        ("false", Cast.BOOLEAN, False),
        (True, Cast.BOOLEAN, True),
        ("2026-03-01T12:00:00+02:00", Cast.DATE_TIME, "2026-03-01T10:00:00Z"),
        ("2026-03-01T12:00:00.250Z", Cast.DATE_TIME, "2026-03-01T12:00:00.250000Z"),
    ],
)
def test_what_fits_is_cast(value: Any, to: Cast, expected: Any) -> None:
    result = cast(value, to)
    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "to", "why"),
    [
        ("4 2", Cast.INTEGER, "the text is no integer"),
        ("042", Cast.INTEGER, "the text is no integer"),
        ("4.0", Cast.INTEGER, "the text is no integer"),
        ("9" * 5000, Cast.INTEGER, "the text is no integer"),
        (4.5, Cast.INTEGER, "the number is no integer"),
        (1e300, Cast.INTEGER, "too large to be certain"),
        (True, Cast.INTEGER, "a boolean is no integer"),
        (None, Cast.INTEGER, "null is no integer"),
        ("NaN", Cast.NUMBER, "the text is no number"),
        ("1e999", Cast.NUMBER, "more digits than a number can hold"),
        ("0.12345678901234567890", Cast.NUMBER, "more digits than a number can hold"),
        (False, Cast.NUMBER, "a boolean is no number"),
        ([], Cast.STRING, "a list has no text"),
        (None, Cast.STRING, "null has no text"),
        ("yes", Cast.BOOLEAN, "neither 'true' nor 'false'"),
        (1, Cast.BOOLEAN, "a number is no boolean"),
        (1, Cast.DATE_TIME, "a number is no date and time"),
        ("yesterday", Cast.DATE_TIME, "no date and time in ISO 8601"),
        ("2026-03-01T12:00:00", Cast.DATE_TIME, "no offset from UTC"),
        ("2026-03-01T12:00:00.1234567Z", Cast.DATE_TIME, "finer than microseconds"),
        ("0001-01-01T00:00:00+05:00", Cast.DATE_TIME, "no date and time in ISO 8601"),
    ],
)
def test_what_does_not_fit_is_refused(value: Any, to: Cast, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        cast(value, to)


NUMBERS = st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS)
def test_a_number_comes_back_from_its_text(number: float) -> None:
    back = cast(cast(number, Cast.STRING), Cast.NUMBER)
    assert back == number


@given(NUMBERS | st.booleans() | st.text() | st.none(), st.sampled_from(list(Cast)))
def test_a_cast_never_changes_what_a_value_says(value: Any, to: Cast) -> None:
    try:
        result = cast(value, to)
    except ValueError:
        return
    if to is Cast.DATE_TIME:
        assert datetime.fromisoformat(result) == datetime.fromisoformat(value)
    elif type(value) is not type(result):
        one, other = (json.loads(x) if isinstance(x, str) else x for x in (value, result))
        assert one == other
        assert math.isfinite(other)
    else:
        assert result == value


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001 - they get an offset
def test_a_moment_stays_the_same(local: datetime, minutes: int) -> None:
    moment = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    result = cast(moment.isoformat(), Cast.DATE_TIME)
    assert datetime.fromisoformat(result) == moment.astimezone(UTC)
