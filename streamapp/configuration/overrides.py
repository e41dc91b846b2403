"""Settings of the environment, which stand above those of the file."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from streamapp.configuration.sections import CliSettings, DataMonitoring
from streamapp.registry.faults import sentences

SECTIONS: Mapping[str, type[BaseModel]] = {
    "cli_settings": CliSettings,
    "data_monitoring": DataMonitoring,
}
"""The sections that the environment overrides."""


def variables() -> Iterator[tuple[str, str, str]]:
    """Each variable with the section and the field that it overrides."""
    for section, model in SECTIONS.items():
        for name in model.model_fields:
            yield f"STREAMAPP_{section}_{name}".upper(), section, name


def overridden(
    section: str, environment: Mapping[str, str], faults: list[str]
) -> Mapping[str, Any]:
    """The fields of a section that the environment sets; an empty variable sets nothing.

    Args:
        section: name of the section.
        environment: all variables.
        faults: one sentence for each wrong value is added here.
    """
    found: dict[str, Any] = {}
    model = SECTIONS[section]
    for variable, of_section, name in variables():
        if of_section != section or not (text := environment.get(variable)):
            continue
        try:
            read = model.model_validate({name: text}, strict=False)
        except ValidationError as error:
            faults += (
                f"{variable}{sentence.removeprefix(name)}"
                for sentence in sentences(error, model, "")
            )
        else:
            found[name] = getattr(read, name)
    return found
