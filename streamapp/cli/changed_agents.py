"""Registers and unregisters agents in the configuration file, for `streamapp agents`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from streamapp.cli.change import save_change
from streamapp.cli.configured import configured
from streamapp.cli.given_file import given_bytes
from streamapp.cli.output import Report, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.configuration.allowed_packages import importer_of
from streamapp.configuration.changes import (
    AGENTS,
    require_makeable,
    with_entries,
    without_agents,
)
from streamapp.configuration.file import ConfigurationFile
from streamapp.configuration.given_agents import read_given_agents
from streamapp.configuration.given_entries import GivenEntries
from streamapp.registry.derive import definition_of
from streamapp.registry.schemas import Schemas

_IN_CODE = re.compile(r"[\w.]+:\w+")


def register_given(
    *,
    given: str,
    config: Path | None,
    replace: bool,
    agent_id: str | None,
    no_import: bool,
    allow_package: list[str] | None,
    save: bool,
    output: OutputFormat | None,
) -> None:
    """Add agents to the configuration file: all of them, or none if there is a fault."""
    file = configured(config, allow_package or (), may_be_new=True)
    is_in_code = _IN_CODE.fullmatch(given) is not None and not Path(given).exists()
    if agent_id is not None and not is_in_code:
        raise typer.BadParameter("--id is for an agent given as MODULE:ATTRIBUTE")
    found = (
        _in_code(file, given, agent_id) if is_in_code else read_given_agents(*given_bytes(given))
    )
    change = with_entries(file, found, replace=replace)
    if not no_import:
        require_makeable(change, found)
    before = file.document.data.get(AGENTS, {})
    changes = {one: "replaced" if one in before else "registered" for one in found.entries}
    _finish(file, change.data, changes, save=save, output=output)


def unregister_named(
    *, agent_ids: list[str], config: Path | None, save: bool, output: OutputFormat | None
) -> None:
    """Take agents out of the configuration file; refused while a pipeline names one of them."""
    file = configured(config)
    data = without_agents(file, agent_ids)
    _finish(file, data, dict.fromkeys(agent_ids, "unregistered"), save=save, output=output)


def _in_code(file: ConfigurationFile, given: str, agent_id: str | None) -> GivenEntries:
    """The definition of an agent in an allowed package."""
    module, _, attribute = given.partition(":")
    agent = importer_of(file.configuration.allowed_packages).agent(module, attribute)
    place = {"module_path": module, "agent_class": attribute}
    definition = definition_of(agent, Schemas(), agent_id, **place)
    fields = definition.model_dump(mode="json", exclude_defaults=True, exclude={"agent_id"})
    return GivenEntries(AGENTS, {definition.agent_id: fields})


def _finish(
    file: ConfigurationFile,
    data: Mapping[str, Any],
    changes: dict[str, str],
    *,
    save: bool,
    output: OutputFormat | None,
) -> None:
    saved = save_change(file, data, save=save)
    agents = data[AGENTS]
    report = Report(
        {
            "file": str(file.path),
            "saved": saved,
            "changes": [
                {"agent_id": one, "change": change, "definition": agents.get(one)}
                for one, change in changes.items()
            ],
        },
        ("agent", "change", "saved in"),
        [(one, change, str(file.path) if saved else "") for one, change in changes.items()],
        text=("saved in",),
    )
    print_report(report, file.configuration.cli_settings, output)
