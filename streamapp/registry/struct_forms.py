"""The JSON schemas of types with msgspec's structs: what is surely read, and all that is written.

msgspec's own schema is made for people: of a time without a zone it says no more than that it is
text. A demand for which JSON schema has no word has a form here, which covers only itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_origin

from msgspec import inspect as kinds

from streamapp.registry.opaque import with_forms
from streamapp.struct_checks import unset_fields

JsonSchema = dict[str, Any]

_FOR_PEOPLE = frozenset({"title", "description", "examples", "deprecated"})
_PLAIN: Mapping[type[kinds.Type], str] = {
    kinds.NoneType: "null",
    kinds.BoolType: "boolean",
    kinds.IntType: "integer",
    kinds.FloatType: "number",
    kinds.StrType: "string",
}
_TEXTS: Mapping[type[kinds.Type], str] = {
    kinds.BytesType: "base64",
    kinds.ByteArrayType: "base64",
    kinds.DateTimeType: "date-time",
    kinds.DateType: "date",
    kinds.DecimalType: "decimal",
    kinds.TimeDeltaType: "duration",
    kinds.TimeType: "time",
    kinds.UUIDType: "uuid",
}
_ARRAYS = (kinds.ListType, kinds.SetType, kinds.FrozenSetType, kinds.VarTupleType)
_SETS = (kinds.SetType, kinds.FrozenSetType)
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_LENGTHS = {
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
}


@dataclass(slots=True)
class StructForms:
    """Makes the schema of a type.

    Attributes:
        unseen: functions that decide about values, and of which the schema says nothing.

    Args:
        is_read: of what is surely read; else of all that may be written.
    """

    is_read: bool
    unseen: list[str] = field(default_factory=list)
    _definitions: dict[str, JsonSchema] = field(default_factory=dict)
    _names: dict[Any, str] = field(default_factory=dict)

    def schema_of(self, type_: Any) -> JsonSchema:
        """The schema of a type.

        Raises:
            TypeError: it has a part of which JSON schema cannot say what is read.
        """
        made = self._of(kinds.type_info(type_))
        return {**made, "$defs": self._definitions}

    def _of(self, info: Any) -> JsonSchema:  # noqa: PLR0911 - one answer for each kind of type
        if isinstance(info, kinds.Metadata):
            if not _FOR_PEOPLE.issuperset(info.extra_json_schema or ()):
                raise TypeError("extra_json_schema of msgspec.Meta may say anything")
            return self._of(info.type)
        if type(info) in _PLAIN:
            return self._of_plain(info, _PLAIN[type(info)])
        if type(info) in _TEXTS:
            return _text_with_forms(info, _TEXTS[type(info)])
        if isinstance(info, kinds.StructType | kinds.TypedDictType):
            return self._of_fields(info)
        if isinstance(info, kinds.UnionType):
            return {"anyOf": [self._of(one) for one in info.types]}
        if isinstance(info, kinds.EnumType):
            return {"enum": [one.value for one in info.cls]}
        return self._of_parts(info)

    def _of_parts(self, info: Any) -> JsonSchema:
        if isinstance(info, kinds.LiteralType):
            return {"enum": list(info.values)}
        if isinstance(info, kinds.AnyType):
            return {}
        if isinstance(info, _ARRAYS):
            made = {"type": "array", "items": self._of(info.item_type), **_lengths(info, "array")}
            if isinstance(info, _SETS) and self.is_read:  # lengths are those without what is double
                made["uniqueItems"] = True
            return made
        if isinstance(info, kinds.TupleType):
            return _tuple(
                [self._of(one) for one in info.item_types], len(info.item_types), is_open=False
            )
        if isinstance(info, kinds.DictType) and type(info.key_type) is kinds.StrType:
            keys = {"propertyNames": self._of(info.key_type)}
            values = {"additionalProperties": self._of(info.value_type)}
            return {"type": "object", **keys, **values, **_lengths(info, "object")}
        raise TypeError(f"JSON schema cannot say what of {type(info).__name__} is read")

    def _of_plain(self, info: Any, name: str) -> JsonSchema:
        made: JsonSchema = {"type": name, **_lengths(info, "string")}
        for bound, own in _BOUNDS.items():
            if getattr(info, bound, None) is not None:
                made[own] = getattr(info, bound)
        if getattr(info, "multiple_of", None) is not None:
            if name == "integer":
                made["multipleOf"] = info.multiple_of
            elif self.is_read:
                raise TypeError("which floats are a multiple of another is not certain")
        pattern = getattr(info, "pattern", None)
        return made if pattern is None else with_forms(made, [f"python's {pattern!r}"])

    def _of_fields(self, info: kinds.StructType | kinds.TypedDictType) -> JsonSchema:
        class_ = get_origin(info.cls) or info.cls
        if info.cls not in self._names:
            name = self._names[info.cls] = f"{class_.__name__}-{len(self._names)}"
            if hasattr(class_, "__post_init__"):
                self.unseen.append(f"the validator {class_.__qualname__}.__post_init__")
            is_struct = isinstance(info, kinds.StructType)
            self._definitions[name] = (
                self._of_struct(info, class_) if is_struct else self._of_typed_dict(info)
            )
        return {"$ref": f"#/$defs/{self._names[info.cls]}"}

    def _of_typed_dict(self, info: Any) -> JsonSchema:
        required = [one.encode_name for one in info.fields if one.required]
        return self._object({one.encode_name: self._of(one.type) for one in info.fields}, required)

    def _of_struct(self, info: Any, class_: Any) -> JsonSchema:
        fields = {one.encode_name: self._of(one.type) for one in info.fields}
        required = [one.encode_name for one in info.fields if one.required]
        optional = unset_fields(class_)
        if not self.is_read:
            is_whole = not class_.__struct_config__.omit_defaults
            named = [one.encode_name for one in info.fields if one.name not in optional]
            required = named if is_whole else [one for one in required if one in named]
        if info.tag is not None:
            tag = {info.tag_field or "type": {"const": info.tag}}
            fields, required = {**tag, **fields}, [*tag, *required]
        if info.array_like:
            is_open = self.is_read and not info.forbid_unknown_fields
            return _tuple(list(fields.values()), len(required), is_open=is_open)
        made = self._object(fields, required)
        return {**made, "additionalProperties": False} if info.forbid_unknown_fields else made

    def _object(self, fields: Mapping[str, JsonSchema], required: list[str]) -> JsonSchema:
        made: JsonSchema = {"type": "object", "properties": dict(fields), "required": required}
        return made if self.is_read else {**made, "additionalProperties": False}


def _tuple(items: list[JsonSchema], least: int, *, is_open: bool) -> JsonSchema:
    """An array with a schema for each place; an open one may have further items."""
    most = {} if is_open else {"maxItems": len(items)}
    return {"type": "array", "prefixItems": items, "minItems": least, **most}


def _lengths(info: Any, kind: str) -> JsonSchema:
    bounds = {own: getattr(info, name, None) for name, own in _LENGTHS[kind].items()}
    return {name: value for name, value in bounds.items() if value is not None}


def _text_with_forms(info: Any, form: str) -> JsonSchema:
    bounds = {name: getattr(info, name, None) for name in ("tz", "min_length", "max_length")}
    demands = [f"{form} {name}={value}" for name, value in bounds.items() if value is not None]
    return with_forms({"type": "string"}, [f"msgspec's {form}", *demands])
