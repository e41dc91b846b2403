"""`streamapp lag`: how far the stages are behind, as Kafka has it, and why."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_pipelines
from streamapp.cli.options import BootstrapServersOption, ConfigOption, OutputOption


def lag(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="PIPELINE",
            help="Show only this pipeline.",
            autocompletion=complete_pipelines,
        ),
    ] = None,
    config: ConfigOption = None,
    *,
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Say what is wrong with each stage, and what to do; asks the services that run on"
            " this machine.",
        ),
    ] = False,
    web_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="With --why, ask the worker or supervisor at this address, such as"
            " http://127.0.0.1:9464/, instead of those that the saved runs name.",
        ),
    ] = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = None,
) -> None:
    """Show how far every stage is behind the end of its topics, whether it runs or not.

    Kafka is asked, not the workers: the groups whose offsets stages have committed, and the ends of
    the topics that they read.
    """
    from streamapp.cli.shown_lag import print_lag

    print_lag(
        pipeline=pipeline,
        config=config,
        why=why,
        web_url=web_url,
        bootstrap_servers=bootstrap_servers,
        output=output,
    )
