"""`streamapp agents register` and `unregister`: change the agents of the configuration file."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_own_agents
from streamapp.cli.options import AllowPackageOption, ConfigOption, OutputOption, SaveOption


def register(
    given: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A JSON file with a definition, an array of definitions, or an object of them by"
            " id; - is standard input. Or MODULE:ATTRIBUTE, an agent in code.",
        ),
    ],
    config: ConfigOption = None,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace agents that have the same id.")
    ] = False,
    agent_id: Annotated[
        str | None,
        typer.Option("--id", help="Id of an agent in code; by default its name."),
    ] = None,
    no_import: Annotated[
        bool, typer.Option("--no-import", help="Import and make no agent of a file.")
    ] = False,
    allow_package: AllowPackageOption = None,
    save: SaveOption = False,
    output: OutputOption = None,
) -> None:
    """Add agents to the configuration file: all of them, or none if there is a fault.

    Each agent is made once, imported from an allowed package, and not opened.
    """
    from streamapp.cli.changed_agents import register_given

    register_given(
        given=given,
        config=config,
        replace=replace,
        agent_id=agent_id,
        no_import=no_import,
        allow_package=allow_package,
        save=save,
        output=output,
    )


def unregister(
    agent_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="AGENT...", help="Ids of agents.", autocompletion=complete_own_agents
        ),
    ],
    config: ConfigOption = None,
    *,
    save: SaveOption = False,
    output: OutputOption = None,
) -> None:
    """Take agents out of the configuration file; refused while a pipeline names one of them."""
    from streamapp.cli.changed_agents import unregister_named

    unregister_named(agent_ids=agent_ids, config=config, save=save, output=output)
