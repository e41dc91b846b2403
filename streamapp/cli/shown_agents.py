"""Prints agents and chains of them, for `streamapp agents`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from streamapp.cli.configured import configured
from streamapp.cli.output import Report, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.printable import printable
from streamapp.configuration.remembered_scores import remembered_scores
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.suggest import Chain, suggest


def print_agents(
    *,
    config: Path | None,
    capability: list[str] | None,
    allow_package: list[str] | None,
    output: OutputFormat | None,
) -> None:
    """List the agents by id."""
    configuration = configured(config, allow_package or ()).configuration
    registry = registry_of(configuration, knows_classes=False)
    found = registry.find_by_capability(*(capability or ()))
    report = Report(
        [_data(one) for one in found],
        ("agent", "capabilities", "takes", "gives", "description"),
        [_row(one) for one in found],
        "There are no such agents; declare some under data_agents.",
        text=("description",),
    )
    print_report(report, configuration.cli_settings, output)
    for agent_id, why in sorted(registry.refused.items()):
        typer.echo(printable(f"streamapp: {agent_id} is not listed: {why}"), err=True)


def print_agent(
    *,
    agent_id: str,
    config: Path | None,
    allow_package: list[str] | None,
    output: OutputFormat | None,
) -> None:
    """Show the definition of an agent."""
    configuration = configured(config, allow_package or ()).configuration
    data = _data(registry_of(configuration, knows_classes=False).get(agent_id))
    rows = [(name, _shown(value)) for name, value in data.items()]
    report = Report(data, ("field", "value"), rows, text=("value",))
    print_report(report, configuration.cli_settings, output)


def print_chains(
    *,
    start: str,
    end: str,
    config: Path | None,
    longest: int | None,
    limit: int,
    exclude: list[str] | None,
    pin: list[str] | None,
    allow_package: list[str] | None,
    output: OutputFormat | None,
) -> None:
    """Suggest all shortest chains of agents from one capability to another, the best first."""
    file = configured(config, allow_package or ())
    configuration = file.configuration
    found = suggest(
        registry_of(configuration),
        start,
        end,
        scores=remembered_scores(file.path),
        limit=limit,
        longest=longest,
        exclude=exclude or (),
        pin=pin or (),
    )
    chains = [{"agents": list(one.agents), "score": one.score} for one in found.chains]
    report = Report(
        {"chains": chains, "has_more": found.has_more},
        ("score", "agents"),
        list(_chain_rows(found.chains)),
        f"No chain of agents leads from {start} to {end}.",
        least=("score",),
    )
    print_report(report, configuration.cli_settings, output)


def _chain_rows(chains: tuple[Chain, ...]) -> Iterator[tuple[str, str]]:
    for one in chains:
        yield f"{one.score:.3f}", " > ".join(one.agents)


def _data(definition: AgentDefinition) -> dict[str, Any]:
    return definition.model_dump(mode="json")


def _row(definition: AgentDefinition) -> tuple[str, ...]:
    return (
        definition.agent_id,
        ", ".join(definition.capabilities),
        _schema(definition.input_schema),
        _schema(definition.output_schema),
        definition.description,
    )


def _schema(reference: str | dict[str, Any]) -> str:
    if isinstance(reference, str):
        return reference
    title = reference.get("title")
    return title if isinstance(title, str) else "a JSON schema"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
