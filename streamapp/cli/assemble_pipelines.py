"""`streamapp pipelines assemble`, `save` and `remove`: change the pipelines of the file."""

from typing import Annotated

import typer

from streamapp.cli.completion import (
    complete_agents,
    complete_capabilities,
    complete_pins,
    complete_pipelines,
)
from streamapp.cli.options import (
    STANDARD_INPUT,
    AllowPackageOption,
    ConfigOption,
    ExplainOption,
    OutputOption,
    SaveOption,
)

ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace the pipeline that has this name.")
]


def assemble(  # noqa: PLR0913 - one parameter is one option
    capabilities: Annotated[
        list[str],
        typer.Argument(
            metavar="CAPABILITY...",
            help="At least two, such as data_validation.",
            autocompletion=complete_capabilities,
        ),
    ],
    config: ConfigOption = None,
    *,
    name: Annotated[
        str | None, typer.Option(help="Name of the pipeline; without one, nothing is saved.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Topic that it reads.")] = None,
    sink: Annotated[str | None, typer.Option(help="Topic that it writes.")] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP=AGENT",
            autocompletion=complete_pins,
            help="The agent of a step, by its number from 1, such as 2=once; repeatable.",
        ),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP=NUMBER",
            help="How many agents share the work of a step as a pool, such as 2=3; repeatable.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="An agent that is not chosen; repeatable.", autocompletion=complete_agents
        ),
    ] = None,
    explain: ExplainOption = False,
    replace: ReplaceOption = False,
    allow_package: AllowPackageOption = None,
    save: SaveOption = False,
    output: OutputOption = None,
) -> None:
    """Choose the best chain of agents for a sequence of capabilities, and save it as a pipeline.

    What is saved names the capabilities and the pinned agents: the others are chosen anew whenever
    the pipeline is started, as they are known by then.
    """
    from streamapp.cli.saved_pipelines import assemble_and_save

    assemble_and_save(
        capabilities=capabilities,
        config=config,
        name=name,
        source=source,
        sink=sink,
        pin=pin,
        pool=pool,
        exclude=exclude,
        explain=explain,
        replace=replace,
        allow_package=allow_package,
        save=save,
        output=output,
    )


def save_pipeline(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of the pipeline.", autocompletion=complete_pipelines
        ),
    ],
    given: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A JSON file with a declaration, or with what `pipelines assemble` has printed;"
            " - is standard input.",
        ),
    ] = STANDARD_INPUT,
    config: ConfigOption = None,
    *,
    replace: ReplaceOption = False,
    no_import: Annotated[
        bool, typer.Option("--no-import", help="Import and make no agent of it.")
    ] = False,
    allow_package: AllowPackageOption = None,
    output: OutputOption = None,
) -> None:
    """Put the declaration of a pipeline into the configuration file, once it is checked.

    The pipeline is made once, and not opened.
    """
    from streamapp.cli.saved_pipelines import save_given

    save_given(
        name=name,
        given=given,
        config=config,
        replace=replace,
        no_import=no_import,
        allow_package=allow_package,
        output=output,
    )


def remove(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Names of pipelines.", autocompletion=complete_pipelines
        ),
    ],
    config: ConfigOption = None,
    *,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Remove them even if others read topics that only they write."),
    ] = False,
    save: SaveOption = False,
    output: OutputOption = None,
) -> None:
    """Take pipelines out of the configuration file; refused while another reads what they write.

    Their topics and their positions on Kafka stay.
    """
    from streamapp.cli.saved_pipelines import remove_named

    remove_named(names=names, config=config, yes=yes, save=save, output=output)
