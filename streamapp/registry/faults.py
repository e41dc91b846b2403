"""Faults of data from outside, one sentence each: where it is, and what is wrong."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamapp.pipeline.capability import Capability
from streamapp.registry.nearest import did_you_mean


def sentences(error: ValidationError, model: type[BaseModel], where: str) -> Iterator[str]:
    """One sentence for each fault.

    Args:
        error: what pydantic says.
        model: the model that was validated.
        where: where its data stand, as the beginning of a path.
    """
    shows = not model.model_config.get("hide_input_in_errors", False)
    for fault in error.errors(include_url=False):
        given = _shown(fault["input"]) if shows else "this value"
        yield f"{_path(where, fault['loc'])}: {_what(fault, given, model)}"


def _path(where: str, location: tuple[int | str, ...]) -> str:
    parts = [part for part in location if part != "[key]"]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return (where + text).lstrip(".")


def _what(fault: ErrorDetails, given: str, model: type[BaseModel]) -> str:
    kind, value = fault["type"], fault["input"]
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        return (
            f"there is no such field; {did_you_mean(str(fault['loc'][-1]), _fields(model, fault))}"
        )
    if kind == "enum" and isinstance(value, str) and "capabilities" in fault["loc"]:
        return f"{given} is no capability; {did_you_mean(value, map(str, Capability))}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"give a mapping of names to values, not {given}"
    if kind == "value_error":
        return str(fault["ctx"]["error"])
    message = fault["msg"].removeprefix("Input ")
    return f"{message[0].lower()}{message[1:]}, not {given}"


def _fields(model: type[BaseModel], fault: ErrorDetails) -> Iterator[str]:
    """Names of the fields beside an unknown one."""
    inner: Any = model
    for part in fault["loc"][:-1]:
        field = inner.model_fields.get(part) if _is_model(inner) else None
        inner = field.annotation if field is not None else None
        inner = next((one for one in (inner, *get_args(inner)) if _is_model(one)), None)
    if _is_model(inner):
        fields: Mapping[str, Any] = inner.model_fields
        for name, field in fields.items():
            yield field.alias or name


def _is_model(type_: object) -> bool:
    return isinstance(type_, type) and issubclass(type_, BaseModel)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


_SHOWN = 80
"""Longest form of a value in a sentence."""
