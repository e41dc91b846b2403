"""`streamapp status`: the stages of running services and of saved runs."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_pipelines
from streamapp.cli.options import ConfigOption, OutputOption


def status(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="PIPELINE", help="Show only this pipeline.", autocompletion=complete_pipelines
        ),
    ] = None,
    config: ConfigOption = None,
    *,
    web_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask the worker or supervisor at this address, such as http://127.0.0.1:9464/,"
            " instead of those that the saved runs name.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")
    ] = False,
    output: OutputOption = None,
) -> None:
    """Show each stage of pipelines that run, or as their last run has left them.

    Running services of this machine are asked; of others, and of runs that have ended, the record
    in the state folder is shown.
    """
    from streamapp.cli.shown_status import print_status

    print_status(pipeline=pipeline, config=config, web_url=web_url, watch=watch, output=output)
