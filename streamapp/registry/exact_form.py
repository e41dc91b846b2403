"""A JSON schema generator that leaves out no demand: what JSON schema cannot say has a form.

pydantic's own JSON schema is made for people and other programs, and says less where JSON schema
has no word: that a time has a zone, that a text is that of a decimal, that a key is a number.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import bytes_schema, float_schema
from typing_extensions import override

from streamapp.registry.opaque import with_forms

_BOUNDS = ("gt", "ge", "lt", "le")
_TEMPORAL = (*_BOUNDS, "now_op", "tz_constraint")

_BOUNDS_OF_TEXT = {"pattern", "minLength", "maxLength", "allOf"}
"""What pydantic looks at after it has taken spaces away."""


class ExactForm(GenerateJsonSchema):
    """What the schemas of reading and of writing have in common.

    Attributes:
        unseen: functions of which the schema says nothing.
        unknown: why the schema does not tell all.
    """

    def __init__(self, *, by_alias: bool | None) -> None:
        super().__init__(by_alias=by_alias)
        self.unseen: list[str] = []
        self.unknown: list[str] = []

    @property
    def mode(self) -> Literal["validation", "serialization"]:
        """What is asked for, whatever a model sets for people (`json_schema_mode_override`)."""
        return self._mode

    def _demands(self, base: str, schema: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
        """A form by its name, and one for each demand beyond it."""
        own = [f"{base} {name}={schema[name]!r}" for name in names if schema.get(name) is not None]
        return [base, *own]

    @override
    def date_schema(self, schema: Any) -> JsonSchemaValue:
        return self._temporal("date", super().date_schema(schema), schema)

    @override
    def time_schema(self, schema: Any) -> JsonSchemaValue:
        return self._temporal("time", super().time_schema(schema), schema)

    @override
    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        return self._temporal("date-time", super().datetime_schema(schema), schema)

    @override
    def timedelta_schema(self, schema: Any) -> JsonSchemaValue:
        return self._temporal("duration", super().timedelta_schema(schema), schema)

    def _temporal(
        self, base: str, made: JsonSchemaValue, schema: Mapping[str, Any]
    ) -> JsonSchemaValue:
        return with_forms(made, self._demands(base, schema, _TEMPORAL)[1:])

    @override
    def uuid_schema(self, schema: Any) -> JsonSchemaValue:
        demands = self._demands("uuid", schema, ("version",))[1:]
        return with_forms(super().uuid_schema(schema), demands)

    @override
    def url_schema(self, schema: Any) -> JsonSchemaValue:
        demands = self._demands("uri", schema, ("allowed_schemes", "host_required"))
        return with_forms(super().url_schema(schema), demands[1:])

    @override
    def multi_host_url_schema(self, schema: Any) -> JsonSchemaValue:
        demands = self._demands("multi-host-uri", schema, ("allowed_schemes", "host_required"))
        return with_forms(super().multi_host_url_schema(schema), demands[1:])

    @override
    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        names = (*_BOUNDS, "multiple_of", "max_digits", "decimal_places")
        text = with_forms({"type": "string"}, self._demands("decimal", schema, names))
        text["format"] = "decimal"
        if self.mode == "serialization":
            return text
        # A number beside it, unless its digits are bounded, which JSON schema cannot say.
        is_free = schema.get("max_digits") is None and schema.get("decimal_places") is None
        bounds: Any = {name: float(schema[name]) for name in _BOUNDS if name in schema}
        number = self.float_schema(float_schema(**bounds))
        is_free = is_free and schema.get("multiple_of") is None
        return {"anyOf": [number, text]} if is_free else text

    @override
    def complex_schema(self, schema: Any) -> JsonSchemaValue:
        return {**with_forms(super().complex_schema(schema), ["complex"]), "format": "complex"}

    @override
    def json_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().json_schema(schema)
        return with_forms(made, ["json"]) if self.mode == "validation" else made

    @override
    def bytes_schema(self, schema: Any) -> JsonSchemaValue:
        # Bounds are on bytes, JSON schema's on characters.
        made = super().bytes_schema(bytes_schema())
        demands = self._demands("bytes", schema, ("min_length", "max_length"))[1:]
        reads = self._config.val_json_bytes
        return with_forms(made, [*demands, *([f"bytes in {reads}"] if reads != "utf8" else [])])

    @override
    def str_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().str_schema(schema)
        if isinstance(schema.get("pattern"), re.Pattern) or self._is_for_python(schema):
            made = with_forms(made, [f"python's {made.pop('pattern')!r}"])
        if schema.get("ascii_only"):
            made = with_forms(made, ["ascii"])
        if self.mode == "serialization" and self._changes_case(schema):
            return {"type": "string"}  # the case is changed after all else was looked at
        if self._is_set(schema, "strip_whitespace") and made.keys() & _BOUNDS_OF_TEXT:
            made = with_forms(made, ["without spaces around it"])
        return made

    def _is_for_python(self, schema: Mapping[str, Any]) -> bool:
        engine = schema.get("regex_engine") or self._config.regex_engine
        return "pattern" in schema and engine == "python-re"

    def _changes_case(self, schema: Mapping[str, Any]) -> bool:
        return self._is_set(schema, "to_lower") or self._is_set(schema, "to_upper")

    def _is_set(self, schema: Mapping[str, Any], name: str) -> bool:
        return bool(schema.get(name) or getattr(self._config, f"str_{name}"))

    @override
    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        return self._with_keys(super().dict_schema(schema), schema)

    @override
    def frozendict_schema(self, schema: Any) -> JsonSchemaValue:
        return self._with_keys(super().frozendict_schema(schema), schema)

    @override
    def ordered_dict_schema(self, schema: Any) -> JsonSchemaValue:
        return self._with_keys(super().ordered_dict_schema(schema), schema)

    @override
    def counter_schema(self, schema: Any) -> JsonSchemaValue:
        return self._with_keys(super().counter_schema(schema), schema)

    def _with_keys(self, made: JsonSchemaValue, schema: Mapping[str, Any]) -> JsonSchemaValue:
        """A mapping with all that is demanded of its keys, which are text in JSON."""
        keys = schema.get("keys_schema", {"type": "any"})
        for values in made.pop("patternProperties", {}).values():
            made["additionalProperties"] = values
        of_keys = self.generate_inner(keys).copy()
        of_keys.pop("title", None)
        if of_keys in ({}, {"type": "string"}):
            return made
        if not _are_text(keys, of_keys):
            kind = keys.get("cls") or sorted(of_keys.items())
            of_keys = with_forms({"type": "string"}, [f"key {kind!r}"])
        return {**made, "propertyNames": of_keys}

    @override
    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        """Any of the choices: which one is told by the tag, so `oneOf` would say nothing more."""
        if callable(tag := schema["discriminator"]):
            self.unseen.append(f"the discriminator {name_of(tag)}")
        made = super().tagged_union_schema(schema)
        return {"anyOf": made.pop("oneOf"), **made}

    @override
    def emit_warning(self, kind: Any, detail: str) -> None:
        if kind == "skipped-choice":
            self.unknown.append(detail)


def _are_text(keys: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Whether the schema of keys is one of text, as keys are in JSON."""
    if keys["type"] in ("enum", "literal"):
        values = [getattr(one, "value", one) for one in keys.get("members", keys.get("expected"))]
        return all(isinstance(value, str) for value in values)
    return schema.get("type") == "string"


def name_of(function: Any) -> str:
    """The name of a user's function in messages."""
    return str(getattr(function, "__qualname__", None) or repr(function))
