"""`streamapp pipelines execute`: runs JSON lines through a pipeline in this process."""

from typing import Annotated

import typer

from streamapp.cli.completion import complete_pipelines, complete_sources
from streamapp.cli.options import (
    STANDARD_INPUT,
    AllowPackageOption,
    ConfigOption,
    ExplainOption,
    OutputOption,
)


def execute(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of a pipeline.", autocompletion=complete_pipelines
        ),
    ],
    config: ConfigOption = None,
    *,
    given: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="FILE",
            help="What the pipeline is given: one JSON value a line; - is standard input.",
        ),
    ] = STANDARD_INPUT,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC",
            help="The topic that the lines are read as; needed if the pipeline reads several.",
            autocompletion=complete_sources,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=10_000, help="Number of lines that are worked on at once.")
    ] = 10,
    explain: ExplainOption = False,
    allow_package: AllowPackageOption = None,
    output: OutputOption = None,
) -> None:
    """Run JSON lines through a pipeline in this process, without Kafka.

    Outputs of the last stage go to standard output, one JSON value a line, in the order of the
    input. What each stage did goes to standard error.
    """
    from streamapp.cli.execution import execute_lines

    execute_lines(
        name=name,
        config=config,
        given=given,
        source=source,
        concurrency=concurrency,
        explain=explain,
        allow_package=allow_package,
        output=output,
    )
