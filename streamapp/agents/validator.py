"""Lets objects pass that fit a JSON schema and hold to rules, and says of others what is wrong."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Self

import jsonschema_rs
from pydantic import Field, JsonValue, field_validator, model_validator

from streamapp.agents.configuration import AgentConfiguration
from streamapp.agents.rules import Check, Rule
from streamapp.errors import Permanent
from streamapp.pipeline.capability import Capability

_MASK = "the value"
"""Stands for values in what the validator says."""


def validator_of(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """What checks values against a schema, in linear time and without fetching anything.

    Raises:
        ValueError: it is no schema, or names another one that is not within it.
    """
    try:
        return jsonschema_rs.validator_for(
            schema,
            validate_formats=True,
            ignore_unknown_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(),
            mask=_MASK,
            offline=True,
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ValueError(f"it is no JSON schema that can be used: {told}") from error


class ValidatorConfiguration(AgentConfiguration):
    """Configuration of a `Validator`.

    Attributes:
        json_schema: JSON schema that objects have to fit; of the draft that it names, else 2020-12.
            Formats are checked; patterns take linear time, so they cannot look around.
        rules: rules that have to hold, all of them.
        max_faults: most faults that an error names.
    """

    json_schema: dict[str, JsonValue] | None = None
    rules: tuple[Rule, ...] = ()
    max_faults: int = Field(default=10, ge=1)

    @field_validator("json_schema")
    @classmethod
    def _is_schema(cls, schema: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if schema is not None:
            validator_of(schema)
        return schema

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.json_schema is None and not self.rules:
            raise ValueError("nothing is to be checked; give a 'json_schema', 'rules', or both")
        return self


class Validator:
    """Lets objects pass that fit a JSON schema and hold to rules.

    Raises:
        Permanent: an object does not; one sentence for each fault, with its path and without the
            value.
    """

    capabilities = (Capability.DATA_VALIDATION,)
    Configuration = ValidatorConfiguration

    def __init__(self, configuration: ValidatorConfiguration) -> None:
        schema = configuration.json_schema
        self._schema = None if schema is None else validator_of(schema)
        self._checks = [Check(rule) for rule in configuration.rules]
        self._max_faults = configuration.max_faults

    def __call__(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object itself."""
        faults = list(islice(self._faults(value), self._max_faults + 1))
        if not faults:
            return value
        more = len(faults) > self._max_faults
        shown = faults[: self._max_faults] + (["there are more faults"] if more else [])
        raise Permanent("; ".join(shown))

    def _faults(self, value: dict[str, Any]) -> Iterator[str]:
        # The usual case first: to look for errors takes several times as long.
        if self._schema is not None and not self._schema.is_valid(value):
            for error in self._schema.iter_errors(value):
                yield f"{_path(error.instance_path)}: {error.message}"
        for check in self._checks:
            broken = check.broken(value)
            if broken is not None:
                yield broken.why


def _path(parts: list[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
