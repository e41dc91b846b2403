"""`streamapp agents`: lists, shows, suggests and changes agents of the configuration file."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_agents, complete_capabilities
from streamapp.cli.options import AllowPackageOption, ConfigOption, OutputOption
from streamapp.cli.register_agents import register, unregister

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
    from streamapp.cli.shown_agents import print_agents

    print_agents(config=config, capability=capability, allow_package=allow_package, output=output)


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
    from streamapp.cli.shown_agents import print_agent

    print_agent(agent_id=agent_id, config=config, allow_package=allow_package, output=output)


@app.command("suggest")
def suggest_chains(
    start: Annotated[
        str,
        typer.Argument(
            metavar="FROM",
            help="A capability, such as data_validation; or a schema.",
            autocompletion=complete_capabilities,
        ),
    ],
    end: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help="Another one, or another schema.",
            autocompletion=complete_capabilities,
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
    from streamapp.cli.shown_agents import print_chains

    print_chains(
        start=start,
        end=end,
        config=config,
        longest=longest,
        limit=limit,
        exclude=exclude,
        pin=pin,
        allow_package=allow_package,
        output=output,
    )


app.command()(register)
app.command()(unregister)
