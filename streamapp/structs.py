"""Recognises msgspec's structs and its errors; msgspec is imported by those alone who use it.

msgspec is an extra. Whoever has made a struct has imported it, so it is looked up among the modules
that are loaded.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any, LiteralString, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

_PLACED = re.compile(r"(?P<told>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_PARTS = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[(\.\.\.)\]")
_FIELD = re.compile(r"Object (?P<how>missing required|contains unknown) field `(?P<name>.*)`")
_FIELD_KINDS = {"missing required": "missing", "contains unknown": "extra_forbidden"}
_BYTE = re.compile(r" \(byte \d+\)$")
_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")


class UnknownTypeError(TypeError):
    """A type of structs of whose values it is not known whether they are read as written."""


def is_struct(type_: Any) -> bool:
    """Whether a type is a class of structs, or a generic one with its arguments."""
    msgspec: Any = sys.modules.get("msgspec")
    class_ = get_origin(type_) or type_
    return msgspec is not None and isinstance(class_, type) and issubclass(class_, msgspec.Struct)


def has_structs(type_: Any) -> bool:
    """Whether a type is one of structs, or names one: in a union, a list, a dictionary."""
    if "msgspec" not in sys.modules:
        return False
    return is_struct(type_) or any(map(has_structs, get_args(type_)))


def validation_error(error: BaseException) -> ValidationError | None:
    """An error of pydantic's that tells of values, or the same of one of msgspec's; else `None`.

    What msgspec quotes of a value is left out.
    """
    if isinstance(error, ValidationError):
        return error
    msgspec: Any = sys.modules.get("msgspec")
    if msgspec is None or not isinstance(error, msgspec.DecodeError):
        return None
    details = _details(error, is_json=isinstance(error, msgspec.ValidationError))
    return ValidationError.from_exception_data("value", [details])


def check_as_struct(value: Any, type_: Any) -> None:
    """Require a value to have the fields that a type of structs declares.

    Raises:
        pydantic.ValidationError: it has not.
    """
    import msgspec  # noqa: PLC0415 - an extra

    try:
        msgspec.convert(value, type_, from_attributes=True)
    except msgspec.ValidationError as error:
        raise validation_error(error) or error from error


def plain_value(value: Any) -> Any:
    """A struct as the dictionary that JSON has for it; any other value as it is."""
    if not is_struct(type(value)):
        return value
    import msgspec  # noqa: PLC0415 - the same

    return msgspec.to_builtins(value)


def invalid_value(path: tuple[str | int, ...], kind: LiteralString, told: str) -> ValidationError:
    """The error of a value that is refused."""
    error = PydanticCustomError(kind, told)
    return ValidationError.from_exception_data(
        "value", [InitErrorDetails(type=error, loc=path, input=None)]
    )


def _details(error: ValueError, *, is_json: bool) -> InitErrorDetails:
    found = _PLACED.fullmatch(str(error))
    assert found is not None  # noqa: S101 - it matches any text
    told, path = found["told"], tuple(_parts(found["path"] or ""))
    if not is_json:
        of_json = {"error": _BYTE.sub("", told)}
        return InitErrorDetails(type="json_invalid", loc=path, input=None, ctx=of_json)
    if isinstance(error.__cause__, ValueError | TypeError):  # of the user's own check
        of_check = {"error": error.__cause__}
        return InitErrorDetails(type="value_error", loc=path, input=None, ctx=of_check)
    if (field := _FIELD.fullmatch(told)) is not None:
        loc = (*path, field["name"])
        return InitErrorDetails(type=_FIELD_KINDS[field["how"]], loc=loc, input=None)
    if not told.startswith("Expected "):
        told = re.split("['\"`]", told)[0].strip()  # it quotes the value
    if found["key"]:
        path = (*path, "[key]")
    kind = _NOT_A_LETTER.sub("_", told.lower()).strip("_")
    custom = PydanticCustomError(kind, told)
    return InitErrorDetails(type=custom, loc=path, input=None)


def _parts(path: str) -> Iterator[str | int]:
    """Parts of a path in msgspec's form, such as `.items[0].name`; keys are not named there."""
    for name, place, key in _PARTS.findall(path):
        yield int(place) if place else name or ("*" if key else "")
