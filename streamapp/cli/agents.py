"""`streamapp agents`: lists, shows, suggests and changes agents of the configuration file."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from streamapp.cli.completion import complete_agents, complete_capabilities
from streamapp.cli.configured import configured
from streamapp.cli.options import AllowPackageOption, ConfigOption, OutputOption
from streamapp.cli.output import Report, print_report
from streamapp.cli.register_agents import register, unregister
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.printable import printable
from streamapp.configuration.remembered_scores import remembered_scores
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.suggest import Chain, suggest

app = typer.Typer(no_args_is_help=True, help="Find and change agents of the configuration file.")


@app.command("list")
def list_agents(
    config: ConfigOption = None,
    *,
    capability: Annotated[
        list[str] | None,
        typer.Option(
            help="List only agents with this capability; repeatable.",
            autocompletion=complete_capabilities,
        ),
    ] = None,
    allow_package: AllowPackageOption = None,
    output: OutputOption = None,
) -> None:
    """List the agents by id."""
    configuration = configured(config, allow_package or ()).configuration
    registry = registry_of(configuration)
    found = registry.find_by_capability(*(capability or ()))
    report = Report(
        [_data(one) for one in found],
        ("agent", "capabilities", "takes", "gives", "description"),
        [_row(one) for one in found],
        "There are no such agents; declare some under data_agents.",
    )
    print_report(report, configuration.cli_settings, output)
    for agent_id, why in sorted(registry.refused.items()):
        typer.echo(printable(f"streamapp: {agent_id} is not listed: {why}"), err=True)


@app.command()
def show(
    agent_id: Annotated[
        str, typer.Argument(metavar="AGENT", help="Id of an agent.", autocompletion=complete_agents)
    ],
    config: ConfigOption = None,
    *,
    allow_package: AllowPackageOption = None,
    output: OutputOption = None,
) -> None:
    """Show the definition of an agent."""
    configuration = configured(config, allow_package or ()).configuration
    data = _data(registry_of(configuration).get(agent_id))
    rows = [(name, _shown(value)) for name, value in data.items()]
    print_report(Report(data, ("field", "value"), rows), configuration.cli_settings, output)


@app.command("suggest")
def suggest_chains(
    start: Annotated[
        str,
        typer.Argument(
            metavar="FROM",
            help="A capability, such as data_validation.",
            autocompletion=complete_capabilities,
        ),
    ],
    end: Annotated[
        str,
        typer.Argument(
            metavar="TO", help="Another capability.", autocompletion=complete_capabilities
        ),
    ],
    config: ConfigOption = None,
    *,
    longest: Annotated[
        int | None,
        typer.Option(min=1, help="Suggest longer chains as well, up to this number of agents."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most chains to print.")] = 100,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="An agent that is in no chain; repeatable.", autocompletion=complete_agents
        ),
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(
            help="An agent that is in every chain; repeatable.", autocompletion=complete_agents
        ),
    ] = None,
    allow_package: AllowPackageOption = None,
    output: OutputOption = None,
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
    )
    print_report(report, configuration.cli_settings, output)


app.command()(register)
app.command()(unregister)


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
