"""Whose fault a failure is."""

import pytest
from pydantic import TypeAdapter, ValidationError

from streamapp.errors import DecodeError, Permanent, Transient
from streamapp.policies.fault import Fault, whose_fault


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(int).validate_python("x")
    return raised.value


@pytest.mark.parametrize("error", [Permanent("p"), DecodeError("d"), invalid()], ids=repr)
def test_these_are_the_records_fault(error: Exception) -> None:
    assert whose_fault(error) is Fault.RECORD


@pytest.mark.parametrize(
    "error", [Transient("t"), TimeoutError(), ConnectionResetError()], ids=repr
)
def test_these_are_the_worlds_fault(error: Exception) -> None:
    assert whose_fault(error) is Fault.WORLD


@pytest.mark.parametrize("error", [KeyError("k"), RuntimeError("r"), ValueError("v")], ids=repr)
def test_any_other_error_does_not_say(error: Exception) -> None:
    assert whose_fault(error) is Fault.UNKNOWN


def test_an_error_that_says_both_is_the_records_fault() -> None:
    class Both(Transient, Permanent):
        pass

    assert whose_fault(Both()) is Fault.RECORD
