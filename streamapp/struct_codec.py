"""Reads and writes structs by msgspec, with the same promises as for models.

Hot path: the functions that are made here are called once for each record.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect as kinds

from streamapp.exact_numbers import Decoder, QuickDecoder
from streamapp.leaf_checks import Check, WrongValue
from streamapp.native_leaves import SELECTED, native
from streamapp.plain_json import Encode, Encoder, Kinds, PlainFields
from streamapp.struct_checks import StructTypes, bare, exact_types, unset_fields
from streamapp.structs import UnknownTypeError, invalid_value, validation_error

_LONG = 16
"""The fewest digits of an integer that may not be equal to a float."""

_LONG_INTEGER = re.compile(rb"[0-9]{%d}" % _LONG)

_MAX_KINDS = 256

_write: Encode = msgspec.json.Encoder().encode


def struct_decoder(type_: Any) -> Decoder:
    """What reads bytes of JSON as a type of structs.

    msgspec converts nothing. Only an integer in the place of a float may become another number;
    that is refused. Errors are those of pydantic, with the path of the field.
    """
    try:
        read = msgspec.json.Decoder(type_).decode
    except TypeError as error:  # such as a union of structs without tags
        raise UnknownTypeError(str(error).partition("\n")[0]) from error

    def decode(data: bytes) -> Any:
        try:
            value = read(data)
            if has_floats and _LONG_INTEGER.search(data) is not None:
                _require_same(msgspec.json.decode(data), value)
        except msgspec.DecodeError as error:
            raise validation_error(error) or error from error
        return value

    has_floats = _has(msgspec.inspect.type_info(type_), kinds.FloatType, set())
    return Decoder(decode, QuickDecoder(_quick(read, decode) if has_floats else read, decode))


def _quick(read: Callable[[bytes], Any], decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Reads what has no long integer without a look at its numbers."""
    if SELECTED.is_native:
        return native.JsonReader(read, decode, digits=_LONG).read

    def quick(data: bytes) -> Any:
        return read(data) if _LONG_INTEGER.search(data) is None else decode(data)

    return quick


def _has(info: Any, wanted: Any, seen: set[int]) -> bool:
    """Whether a type is, or has a part that is, of a kind."""
    if isinstance(info, wanted):
        return True
    if id(info) in seen:
        return False
    seen.add(id(info))
    parts: list[Any] = [*getattr(info, "types", ()), *getattr(info, "item_types", ())]
    names = ("type", "item_type", "key_type", "value_type")
    parts += [getattr(info, name, None) for name in names]
    parts += [one.type for one in getattr(info, "fields", ())]
    return any(_has(one, wanted, seen) for one in parts if one is not None)


def _require_same(written: Any, value: Any, path: tuple[str | int, ...] = ()) -> None:
    """Refuse an integer that became a float which is not equal to it."""
    _compare(written, msgspec.to_builtins(value, str_keys=True), path)


def _compare(written: Any, read: Any, path: tuple[str | int, ...]) -> None:
    if isinstance(written, dict) and isinstance(read, dict):
        for name in written.keys() & read.keys():
            _compare(written[name], read[name], (*path, name))
    elif isinstance(written, list) and isinstance(read, list | tuple | set | frozenset):
        for place, (one, own) in enumerate(zip(written, read, strict=False)):
            _compare(one, own, (*path, place))
    elif type(written) is int and type(read) is float and not _is_exact(written):
        told = "no float equals this integer; declare the field as int or Decimal"
        raise invalid_value(path, "inexact_float", told)


def _is_exact(number: int) -> bool:
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def struct_encoder(type_: Any) -> Encoder:
    """What writes values of a type of structs, and refuses those that are not of the type.

    A combination of classes of fields that decides about all of them is remembered. Fields of
    which the class does not decide are looked at each time.

    Raises:
        UnknownTypeError: a field is of a type that cannot be checked.
    """
    info = bare(msgspec.inspect.type_info(type_))
    check_all = StructTypes().check_of(info)
    if not isinstance(info, kinds.StructType) or not isinstance(type_, type):
        return Encoder(_careful_encoder(check_all))
    optional, types = unset_fields(type_), StructTypes(complete=False)
    unset = frozenset({type(msgspec.UNSET)})
    exact: list[frozenset[type] | None] = []
    parts: list[tuple[int, str, Check]] = []
    for place, one in enumerate(info.fields):
        own = exact_types(one.type)
        if own is None:
            parts.append((place, one.name, types.check_of(one.type)))
        exact.append(own if own is None or one.name not in optional else own | unset)
    may_be_nan = _has(info, (kinds.FloatType, kinds.AnyType), set())
    return _struct_encoder(type_, exact, parts, check_all, may_be_nan=may_be_nan)


def _careful_encoder(check_all: Check) -> Encode:
    def encode(value: Any) -> bytes:
        check_all(value)
        return _write(value)

    return encode


def _struct_encoder(
    class_: type[Any],
    exact: list[frozenset[type] | None],
    parts: list[tuple[int, str, Check]],
    check_all: Check,
    *,
    may_be_nan: bool,
) -> Encoder:
    known = set[Kinds]()
    values_of = msgspec.structs.astuple
    write = _write

    def encode_first(value: Any) -> bytes:
        check_all(value)
        found = tuple(map(type, values_of(value)))
        if _decide(exact, found) and len(known) < _MAX_KINDS:
            known.add(found)
        return write(value)

    def encode(value: Any) -> bytes:
        if type(value) is not class_:
            return encode_first(value)
        values = values_of(value)
        if tuple(map(type, values)) not in known:
            return encode_first(value)
        if parts:
            _check_parts(parts, values)
        try:
            encoded = write(value)
        except Exception:
            check_all(value)  # which tells the path
            raise
        if may_be_nan and b"null" in encoded:
            check_all(value)
        return encoded

    is_plain = not parts and not may_be_nan
    return Encoder(encode, plain=PlainFields(known, values_of, write) if is_plain else None)


def _decide(exact: list[frozenset[type] | None], found: Kinds) -> bool:
    """Whether these classes say that the values are right, but for those that are looked at."""
    pairs = zip(exact, found, strict=True)
    return all(options is None or own in options for options, own in pairs)


def _check_parts(parts: list[tuple[int, str, Check]], values: tuple[Any, ...]) -> None:
    for place, name, check in parts:
        try:
            if values[place] is not msgspec.UNSET:  # which the class of the value decides
                check(values[place])
        except WrongValue as error:
            raise error.under(name) from None


def json_schema(type_: Any) -> dict[str, Any]:
    """The JSON schema of a type of structs."""
    return msgspec.json.schema(type_)
