"""Middleware in the file: those that ship, by name."""

import logging
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

from streamapp.agents.validator import validator_of
from streamapp.configuration.section import Section, tag_of
from streamapp.errors import PipelineError
from streamapp.middleware.logs import LogStages
from streamapp.middleware.redaction import Redact
from streamapp.middleware.validation import Validate
from streamapp.pipeline.middleware import AroundMiddleware, Middleware
from streamapp.structs import plain_value


def _schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    validator_of(schema)
    return schema


class Logging(Section):
    """Logs each call of an agent, without values.

    Attributes:
        level: level of the lines.
    """

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Validation(Section):
    """Refuses data that do not fit a JSON schema, as the record's fault.

    Attributes:
        json_schema: the schema.
        stages: names of the stages to check at; none: all.
    """

    json_schema: Annotated[dict[str, JsonValue], AfterValidator(_schema)]
    stages: list[str] | None = None


class Redaction(Section):
    """Replaces fields of the data before the agents see them.

    Attributes:
        paths: fields, such as `customer.email`; `*` is each item.
        by: what stands in their place.
        stages: names of the stages to redact at; none: all.
    """

    paths: list[str] = Field(min_length=1)
    by: JsonValue = "***"
    stages: list[str] | None = None

    @model_validator(mode="after")
    def _has_paths(self) -> Self:
        try:
            Redact(*self.paths, by=self.by, stages=self.stages)
        except PipelineError as error:
            raise ValueError(str(error)) from error
        return self


class UseLogging(Section):
    """Logging, with its settings."""

    logging: Logging


class UseValidation(Section):
    """Validation, with its settings."""

    validation: Validation


class UseRedaction(Section):
    """Redaction, with its settings."""

    redaction: Redaction


def _kind(value: Any) -> str | None:
    return tag_of(value, _KINDS)


_KINDS = ("logging", "validation", "redaction")

DeclaredMiddleware = Annotated[
    Annotated[UseLogging, Tag("(logging)")]
    | Annotated[UseValidation, Tag("(validation)")]
    | Annotated[UseRedaction, Tag("(redaction)")],
    Discriminator(
        _kind,
        custom_error_type="middleware",
        custom_error_message=f"give an object with one of {', '.join(_KINDS)}",
    ),
]
"""A middleware that ships."""


def middleware_of(declared: DeclaredMiddleware) -> Middleware | AroundMiddleware:
    """The middleware that is declared.

    Raises:
        PipelineError: its settings are wrong.
    """
    match declared:
        case UseValidation(validation=found):
            return Validate(_validation(found.json_schema), found.stages)
        case UseRedaction(redaction=found):
            return Redact(*found.paths, by=found.by, stages=found.stages)
        case UseLogging(logging=found):
            return LogStages(level=logging.getLevelNamesMapping()[found.level])


def _validation(schema: dict[str, JsonValue]) -> Callable[[Any], bool]:
    is_valid = validator_of(schema).is_valid

    def validation(data: Any) -> bool:
        return is_valid(
            data.model_dump(mode="json") if isinstance(data, BaseModel) else plain_value(data)
        )

    return validation
