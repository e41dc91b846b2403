"""`streamapp dashboards`: lists the dashboards for Grafana, and writes their files."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_FOLDER = Path("dashboards")

app = typer.Typer(
    no_args_is_help=True, help="Show the dashboards for Grafana, and write their files."
)


@app.command("list")
def list_dashboards() -> None:
    """List the dashboards, with the question that each answers."""
    from streamapp.observability.dashboards.catalogue import DASHBOARDS

    for dashboard in DASHBOARDS:
        typer.echo(f"{dashboard.uid:23}{dashboard.description}")


@app.command()
def export(
    *,
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where to write them; made if it is missing.")
    ] = DEFAULT_FOLDER,
) -> None:
    """Write the files of all dashboards, which Grafana imports or reads from a folder.

    They read from the Prometheus that is chosen at their top. Files of the same names are replaced.
    """
    from streamapp.cli.exported import export_dashboards

    for path in export_dashboards(folder):
        typer.echo(path)
