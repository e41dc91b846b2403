"""Checks that values are of the types that their pydantic schema declares, where pydantic does not.

By itself, pydantic writes null for None wherever it stands, an integer beyond 2**53 as another
number in the place of a float, and any value in the place of a literal.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from types import MemberDescriptorType, NoneType
from typing import Any

from streamapp.leaf_checks import LEAF_KINDS, Check, key_check, leaf_check
from streamapp.part_checks import (
    check_values,
    choice_check,
    class_check,
    dict_check,
    fields_check,
    items_check,
    tuple_check,
)

_INNER = {
    "default": "schema",
    "function-before": "schema",
    "function-after": "schema",
    "function-wrap": "schema",
    "definitions": "schema",
    "custom-error": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "strict_schema",
}
"""Where the schema of what is written stands, by the kind of the schema around it."""

_SEQUENCES: dict[str, type[Any]] = {
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "tuple": tuple,
    "deque": deque,
}
_DICTS = frozenset({"dict", "ordered-dict", "counter"})
_UNIONS = frozenset({"union", "tagged-union"})
_FIELDS = frozenset(
    {"model-fields", "model-field", "dataclass-args", "dataclass-field", "typed-dict-field"}
)
_OTHERS = frozenset({"model", "dataclass", "typed-dict", "definition-ref", "nullable"})
CHECKED_KINDS = (
    LEAF_KINDS | _INNER.keys() | _SEQUENCES.keys() | _DICTS | _UNIONS | _FIELDS | _OTHERS
)
"""Kinds of core schemas of which a complete check leaves nothing open."""
_PLAIN = {"str": str, "int": int, "float": float, "bool": bool, "none": NoneType}
_PLAIN_WRAPPERS = frozenset({"nullable", "default", "function-after", "function-before"})


def plain_types(schema: Mapping[str, Any]) -> frozenset[type] | None:
    """The types of the values of a plain type: text, a number, a boolean, null, or one or null.

    A value of exactly one of these types is of the declared type. `None` if the type is not plain.
    """
    if schema.get("serialization"):
        return None
    kind = schema["type"]
    if kind in _PLAIN:
        return frozenset({_PLAIN[kind]})
    if kind not in _PLAIN_WRAPPERS or (inner := plain_types(schema["schema"])) is None:
        return None
    return inner | {NoneType} if kind == "nullable" else inner


def has_plain_members(schema: Mapping[str, Any]) -> bool:
    """Whether the values of the members of an enum are all text, or all integers."""
    return any(all(type(one.value) is kind for one in schema["members"]) for kind in (str, int))


@dataclass(frozen=True, slots=True)
class DeclaredTypes:
    """Makes checks of values from a core schema.

    Args:
        root: core schema of the type, with its definitions.
        complete: check as well what pydantic refuses itself, without a path, and what it writes as
            null: None, NaN and infinite floats.
        finite: NaN and infinite floats are not declared to be written in another way.
        in_union: the value is one of the choices of a union, where pydantic takes only a float
            for a float.
    """

    root: Mapping[str, Any]
    complete: bool = False
    finite: bool = True
    in_union: bool = False
    _made: dict[tuple[str, bool, bool, bool], list[Check | None]] = field(default_factory=dict)

    def check_of(self, schema: Mapping[str, Any]) -> Check | None:
        """The check of one schema; `None` if there is nothing to check."""
        kind = schema["type"]
        if (serializer := schema.get("serialization")) is not None:
            return self._of_serialized(schema, serializer)
        if kind in _INNER:
            inner = schema[_INNER[kind]]
            return None if _has_enum_values(schema, inner) else self.check_of(inner)
        if kind == "chain":
            return self.check_of(schema["steps"][-1])
        of_kind = {
            "model": self._of_class,
            "dataclass": self._of_class,
            "definition-ref": self._of_reference,
            "nullable": self._of_nullable,
            "typed-dict": self._of_typed_dict,
            "named-tuple": self._of_named_tuple,
            **dict.fromkeys(_SEQUENCES, self._of_sequence),
            **dict.fromkeys(_DICTS, self._of_dict),
            **dict.fromkeys(_UNIONS, self._of_union),
        }
        if kind in of_kind:
            return of_kind[kind](schema)
        return leaf_check(
            schema, complete=self.complete, finite=self.finite, in_union=self.in_union
        )

    def _of_serialized(self, schema: Mapping[str, Any], how: Mapping[str, Any]) -> Check | None:
        """What a serialiser of the user's takes is not known; pydantic has one for sequences."""
        items = schema.get("json_schema", schema)
        module = getattr(how.get("function"), "__module__", None) or ""
        if items["type"] != "list" or not module.startswith("pydantic."):
            return None
        return self._of_items(items, Sequence)

    def _of_class(self, schema: Mapping[str, Any]) -> Check:
        class_, inner = schema["cls"], schema["schema"]
        here = replace(self._within(schema), in_union=False)
        while inner["type"] in _INNER:
            inner = inner[_INNER[inner["type"]]]
        if schema.get("root_model"):
            return class_check(class_, attrgetter("root"), here.check_of(inner))
        if schema["type"] == "dataclass":
            declared = {one["name"]: one for one in inner["fields"]}
            return here.of_fields(declared, class_, _attributes_of(class_, list(declared)))
        if inner["type"] != "model-fields":
            return class_check(class_, _as_it_is, None)
        return here.of_model(inner, class_)

    def of_model(self, schema: Mapping[str, Any], class_: type[Any]) -> Check:
        """The check of the fields of a model, and of others that it allows."""
        check_fields = self.of_fields(schema["fields"], class_, attrgetter("__dict__"))
        check_extra = self.check_of(schema.get("extras_schema") or {"type": "any"})
        if check_extra is None:
            return check_fields

        def check(value: Any) -> None:
            check_fields(value)
            check_values(value.__pydantic_extra__ or {}, check_extra)

        return check

    def _of_typed_dict(self, schema: Mapping[str, Any]) -> Check:
        return self._within(schema).of_fields(schema["fields"], dict, _as_it_is)

    def _within(self, schema: Mapping[str, Any]) -> "DeclaredTypes":
        """The same under the configuration of a model, if it has one."""
        if (config := schema.get("config")) is None:
            return self
        return replace(self, finite=config.get("ser_json_inf_nan") not in ("constants", "strings"))

    def of_fields(
        self,
        declared: Mapping[str, Any],
        class_: type[Any],
        values_of: Callable[[Any], Mapping[str, Any]],
    ) -> Check:
        """The check of a value of this class, and of its fields."""
        written = {name: one for name, one in declared.items() if _is_written(one)}
        required = [name for name, one in written.items() if _is_required(one)]
        checks = [
            (name, check)
            for name, one in written.items()
            if (check := self.check_of(one["schema"])) is not None
        ]
        return fields_check(class_, values_of, required, checks)

    def _of_reference(self, schema: Mapping[str, Any]) -> Check:
        name = schema["schema_ref"]
        made = self._made.setdefault((name, self.complete, self.finite, self.in_union), [])

        def check(value: Any) -> None:
            if not made:  # when it is first used: a type may refer to itself
                made.append(self.check_of(self._definition(name)))
            if made[0] is not None:
                made[0](value)

        return check

    def _definition(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any]
        [found] = [one for one in self.root["definitions"] if one["ref"] == name]
        return found

    def _of_nullable(self, schema: Mapping[str, Any]) -> Check | None:
        inner = self.check_of(schema["schema"])
        if inner is None:
            return None

        def check(value: Any) -> None:
            if value is not None:
                inner(value)

        return check

    def _of_sequence(self, schema: Mapping[str, Any]) -> Check | None:
        return self._of_items(schema, _SEQUENCES[schema["type"]])

    def _of_named_tuple(self, schema: Mapping[str, Any]) -> Check | None:
        return self._of_places([one["schema"] for one in schema["fields"]])

    def _of_items(self, schema: Mapping[str, Any], class_: type[Any]) -> Check | None:
        items = schema.get("items_schema", {"type": "any"})
        if isinstance(items, list):  # of a tuple
            if schema.get("variadic_item_index") is None:
                return self._of_places(items)
            if len(items) > 1:  # which no type hint makes
                return None
            items = items[0]
        check = self.check_of(items)
        if check is None and not self.complete:
            return None
        return items_check(class_, check, self._need_no_check(items))

    def _of_places(self, items: list[Mapping[str, Any]]) -> Check | None:
        checks = [self.check_of(one) for one in items]
        return tuple_check(checks) if self.complete or any(checks) else None

    def _of_dict(self, schema: Mapping[str, Any]) -> Check:
        keys = schema.get("keys_schema") or {"type": "any"}
        values = schema.get("values_schema") or {"type": "any"}
        return dict_check(
            key_check(keys, replace(self, complete=True).check_of(keys)),
            self._need_no_check(keys) & {str, int},
            self.check_of(values),
            self._need_no_check(values),
        )

    def _need_no_check(self, schema: Mapping[str, Any]) -> frozenset[type]:
        """Types of which all values are right."""
        found = plain_types(schema) or frozenset()
        return found - {float} if self.complete else found

    def _of_union(self, schema: Mapping[str, Any]) -> Check | None:
        choices = schema["choices"]
        if isinstance(choices, dict):
            choices = list(choices.values())
        choices = [one[0] if isinstance(one, tuple) else one for one in choices]
        if not self.complete and not any(map(replace(self, in_union=True).check_of, choices)):
            return None  # pydantic itself refuses what is of no choice
        checks = [made for one in choices if (made := self._of_choice(one)) is not None]
        if len(checks) < len(choices):
            return None  # of one choice it is not known what it takes

        return choice_check(checks)

    def _of_choice(self, schema: Mapping[str, Any]) -> Check | None:
        """The check that tells whether a value is of a choice; of a class, its name is enough."""
        is_class = schema["type"] in ("model", "dataclass")
        return replace(self, complete=self.complete or not is_class, in_union=True).check_of(schema)


def _has_enum_values(schema: Mapping[str, Any], inner: Mapping[str, Any]) -> bool:
    """Whether the values are those of members of an enum, by `use_enum_values`."""
    if schema["type"] != "function-after" or inner["type"] not in ("enum", "literal"):
        return False
    function = schema["function"]["function"]
    module = getattr(function, "__module__", None) or ""
    return isinstance(function, attrgetter) or module.startswith("pydantic.")


def _is_written(declared: Mapping[str, Any]) -> bool:
    return not declared.get("serialization_exclude") and not declared.get("init_only")


def _is_required(declared: Mapping[str, Any]) -> bool:
    """Whether a value has to have the field: a key may be left out, a field be set by nobody."""
    is_optional_key = declared["type"] == "typed-dict-field" and not declared.get("required", True)
    return not is_optional_key and declared.get("init", True)


def _attributes_of(class_: type[Any], names: list[str]) -> Callable[[Any], Mapping[str, Any]]:
    """What gets the fields of a value of a dataclass, which may have slots."""
    slots = [isinstance(getattr(class_, name, None), MemberDescriptorType) for name in names]
    if not any(slots):
        return attrgetter("__dict__")
    return lambda value: {name: getattr(value, name) for name in names if hasattr(value, name)}


def _as_it_is(value: Any) -> Any:
    return value
