"""`streamapp plan`: shows what a pipeline is made of, what it promises and what it does not."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated

import typer

from streamapp.cli.loading import load_topologies
from streamapp.cli.options import AllowPackageOption, TargetArgument
from streamapp.cli.plan_json import as_json
from streamapp.cli.plan_mermaid import as_mermaid
from streamapp.cli.plan_text import as_text
from streamapp.observability.logs import configure_logging
from streamapp.pipeline.outline import Outline, outline_of


class PlanFormat(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    JSON = "json"
    MERMAID = "mermaid"


_RENDERERS: Mapping[PlanFormat, Callable[[Outline], str]] = {
    PlanFormat.TEXT: as_text,
    PlanFormat.JSON: as_json,
    PlanFormat.MERMAID: as_mermaid,
}


def plan(
    target: TargetArgument,
    *,
    allow_package: AllowPackageOption = None,
    output: Annotated[
        PlanFormat,
        typer.Option(help="Text for a terminal, JSON for programs, or a flowchart of Mermaid."),
    ] = PlanFormat.TEXT,
) -> None:
    """Show stages, agents, topics and settings of a pipeline, and what it promises; needs no Kafka.

    Of a bundle, every pipeline is shown, one after the other. A pipeline that could not run ends
    with the same error as with `run`.
    """
    configure_logging("WARNING")
    topologies = load_topologies(target, allow_package or ())
    shown = [_RENDERERS[output](outline_of(topology)) for topology in topologies]
    if output is PlanFormat.JSON and len(shown) > 1:
        shown = [f"[{','.join(shown)}]\n"]
    typer.echo("\n".join(shown), nl=False)
