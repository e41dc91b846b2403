"""The JSON schemas of a type: what is surely read as it, and all that may be written as it.

For the containment check, a schema that says less than its type is wrong on the side that reads: it
would seem to take what the type refuses. And what nobody can know of a serialiser is unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.json_schema import JsonSchemaValue

from streamapp.registry.exact_form import ExactForm, name_of
from streamapp.structs import has_structs

_OWN_PARTS = "pydantic._internal"


@dataclass(frozen=True, slots=True)
class JsonForm:
    """A JSON schema of a type.

    Attributes:
        schema: the schema; `None` if there is none.
        unseen: functions that decide about values, and of which the schema says nothing.
        unknown: why the schema does not tell all that may be written, or why there is none.
    """

    schema: dict[str, Any] | None
    unseen: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def form_of(type_: Any, mode: Literal["read", "written"]) -> JsonForm:
    """The schema of what is read or written as a type."""
    if has_structs(type_):
        return _struct_form(type_, mode)
    maker = _Reading() if mode == "read" else _Writing()
    try:
        core: Any = TypeAdapter(type_).core_schema
        schema = maker.generate(core, mode="validation" if mode == "read" else "serialization")
    except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
        return JsonForm(None, unknown=(error.message.partition("\n")[0],))
    except Exception as error:  # noqa: BLE001 - users' own hooks may raise anything
        return JsonForm(None, unknown=(f"its JSON schema raises {type(error).__name__}: {error}",))
    return JsonForm(schema, tuple(dict.fromkeys(maker.unseen)), tuple(dict.fromkeys(maker.unknown)))


def _struct_form(type_: Any, mode: Literal["read", "written"]) -> JsonForm:
    from streamapp.registry.struct_forms import StructForms  # noqa: PLC0415 - it needs an extra

    forms = StructForms(is_read=mode == "read")
    try:
        schema = forms.schema_of(type_)
    except Exception as error:  # noqa: BLE001 - of a type that has no JSON schema
        return JsonForm(None, unknown=(f"its JSON schema raises {type(error).__name__}: {error}",))
    return JsonForm(schema, tuple(forms.unseen) if forms.is_read else ())


class _Reading(ExactForm):
    """What is surely read as a type."""

    def __init__(self) -> None:
        super().__init__(by_alias=None)  # as the configuration of each model says

    def model_fields_schema(self, schema: Any) -> JsonSchemaValue:
        fields = schema["fields"].items()
        return self._with_other_names(super().model_fields_schema(schema), fields)

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        return self._with_other_names(super().typed_dict_schema(schema), schema["fields"].items())

    def dataclass_args_schema(self, schema: Any) -> JsonSchemaValue:
        fields = [(field["name"], field) for field in schema["fields"]]
        return self._with_other_names(super().dataclass_args_schema(schema), fields)

    def _with_other_names(
        self, made: JsonSchemaValue, fields: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> JsonSchemaValue:
        """The fields under each name by which they are read, so that no other value is let in."""
        properties = made["properties"]
        for name, field in fields:
            alias = field.get("validation_alias", name)
            if isinstance(alias, list):
                self.unknown.append(f"the field {name!r} is read by several names, or by a path")
            elif alias in properties and self._config.validate_by_name:
                properties.setdefault(name, properties[alias])
        return made

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        self._tell(schema)
        return super().function_before_schema(schema)

    def function_after_schema(self, schema: Any) -> JsonSchemaValue:
        self._tell(schema)
        return super().function_after_schema(schema)

    def function_wrap_schema(self, schema: Any) -> JsonSchemaValue:
        self._tell(schema)
        return super().function_wrap_schema(schema)

    def function_plain_schema(self, schema: Any) -> JsonSchemaValue:
        self._tell(schema)
        return super().function_plain_schema(schema)

    def _tell(self, schema: Mapping[str, Any]) -> None:
        function = schema["function"]["function"]
        if not str(getattr(function, "__module__", "")).startswith(_OWN_PARTS):
            self.unseen.append(f"the validator {name_of(function)}")


class _Writing(ExactForm):
    """All that may be written as a type: no field is left out, and none is added."""

    def __init__(self) -> None:
        super().__init__(by_alias=True)  # as records are written

    def field_is_required(self, field: Any, total: bool) -> bool:
        may_be_missing = field["type"] == "typed-dict-field" and not field.get("required", total)
        return not may_be_missing and field.get("serialization_exclude_if") is None

    def _temporal(
        self, base: str, made: JsonSchemaValue, schema: Mapping[str, Any]
    ) -> JsonSchemaValue:
        if schema.get("now_op") == "future":  # it may be past when it is read
            schema = {name: value for name, value in schema.items() if name != "now_op"}
        is_text = made.get("type") == "string"
        return super()._temporal(base, made, schema) if is_text else made

    def float_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().float_schema(schema)
        made.pop("multipleOf", None)  # pydantic takes what is nearly a multiple
        return made

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        return _closed(super().model_schema(schema))

    def dataclass_schema(self, schema: Any) -> JsonSchemaValue:
        return _closed(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        return _closed(super().typed_dict_schema(schema))

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        kind = schema["type"]
        if kind in ("function-plain", "function-wrap") and schema.get("return_schema") is None:
            function = schema["function"]
            if not str(getattr(function, "__module__", "")).startswith("pydantic."):
                self.unknown.append(f"the serialiser {name_of(function)} has no return type")
                return {}
        if kind == "any":
            self.unknown.append("SerializeAsAny writes whatever a value has")
            return {}
        return super().ser_schema(schema)


def _closed(schema: JsonSchemaValue) -> JsonSchemaValue:
    if schema.get("type") == "object" and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return schema
