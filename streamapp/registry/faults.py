"""Faults of data from outside, one sentence each: where it is, and what is wrong."""

import json
import re
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamapp.pipeline.capability import Capability
from streamapp.registry.field_names import field_names, is_tag
from streamapp.registry.nearest import did_you_mean


def sentences(error: ValidationError, model: type[BaseModel], where: str) -> Iterator[str]:
    """One sentence for each fault.

    Args:
        error: what pydantic says.
        model: the model that was validated.
        where: where its data stand, as the beginning of a path.
    """
    for location, told in placed_faults(error, model):
        yield f"{path_of(where, location)}: {told}"


def placed_faults(
    error: ValidationError, model: type[BaseModel]
) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Each fault: where in the data it is, as pydantic says, and what is wrong."""
    shows = not model.model_config.get("hide_input_in_errors", False)
    faults = error.errors(include_url=False)
    for fault in faults:
        if fault["type"] == "too_short" and _has_fault_within(fault, faults):
            continue  # it lacks what was refused
        given = shown_value(fault["input"]) if shows else "this value"
        yield fault["loc"], _what(fault, given, model)


def _has_fault_within(fault: ErrorDetails, faults: list[ErrorDetails]) -> bool:
    place = fault["loc"]
    return any(len(one["loc"]) > len(place) and one["loc"][: len(place)] == place for one in faults)


def path_of(where: str, location: tuple[int | str, ...]) -> str:
    """A place in the data, as people write it."""
    parts = [part for part in location if part != "[key]" and not is_tag(part)]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return (where + text).lstrip(".")


def _what(fault: ErrorDetails, given: str, model: type[BaseModel]) -> str:
    kind, value = fault["type"], fault["input"]
    if kind in ("missing", "missing_argument"):
        return "is missing; add it"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = field_names(model, fault["loc"][:-1])
        return f"there is no such field; {did_you_mean(str(fault['loc'][-1]), known)}"
    if kind == "enum" and isinstance(value, str) and "capabilities" in fault["loc"]:
        return f"{given} is no capability; {did_you_mean(value, map(str, Capability))}"
    if kind in ("model_type", "dict_type", "model_attributes_type", "dataclass_type"):
        return f"give an object, {{...}}, not {given}"
    if kind == "value_error":
        return str(fault["ctx"]["error"])
    if kind == "too_short":
        given = str(fault["ctx"]["actual_length"])
        message = f"give at least {fault['ctx']['min_length']}"
    else:
        message = _OF_PYTHON.sub(lambda found: _IN_JSON[found[0]], fault["msg"])
        message = message.removeprefix("Input ")
    return f"{message[0].lower()}{message[1:]}, not {given}"


def shown_value(value: object) -> str:
    """A value as it is written in JSON, but for a text, which has the quotes of names."""
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # it is not from JSON
        text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


_IN_JSON = {
    "None": "null",
    "dictionary": "object",
    "list": "array",
    "set": "array",
    "tuple": "array",
}
_OF_PYTHON = re.compile(rf"\b({'|'.join(_IN_JSON)})\b")
"""Words of pydantic for values that have other names in JSON."""

_SHOWN = 80
"""Longest form of a value in a sentence."""
