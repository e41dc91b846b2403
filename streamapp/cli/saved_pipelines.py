"""Makes declarations of pipelines and saves them, for `streamapp pipelines`."""

import re
from pathlib import Path
from typing import Any

import typer

from streamapp.cli.change import save_change
from streamapp.cli.configured import configured
from streamapp.cli.explained import assembled_or_explained, explanation_lines
from streamapp.cli.given_file import given_bytes
from streamapp.cli.output import Report, chosen_format, print_report
from streamapp.cli.output_format import OutputFormat
from streamapp.configuration.changes import (
    PIPELINES,
    require_makeable,
    with_entries,
    without_pipelines,
)
from streamapp.configuration.file import ConfigurationFile
from streamapp.configuration.given_entries import GivenEntries
from streamapp.configuration.given_pipeline import declaration_of, read_given_pipeline
from streamapp.registry.assemble import Assembled

_UNNAMED = "unnamed"
"""What a pipeline is called, or its source, while it is only tried."""

_PIN = re.compile(r"([1-9]\d{0,8})=(.+)")
_POOL = re.compile(r"([1-9]\d{0,8})=([2-9]|[1-9]\d{1,3})")


def assemble_and_save(  # noqa: PLR0913 - one parameter is one option
    *,
    capabilities: list[str],
    config: Path | None,
    name: str | None,
    source: str | None,
    sink: str | None,
    pin: list[str] | None,
    pool: list[str] | None,
    exclude: list[str] | None,
    explain: bool,
    replace: bool,
    allow_package: list[str] | None,
    save: bool,
    output: OutputFormat | None,
) -> None:
    """Choose the best chain of agents for a sequence of capabilities, and save it as a pipeline."""
    if source is None and (name is not None or save):
        raise typer.BadParameter("give the --source of the pipeline that is to be saved")
    if save and name is None:
        raise typer.BadParameter("give the --name under which it is saved")
    file = configured(config, allow_package or (), may_be_new=name is not None)
    declaration = declaration_of(
        capabilities,
        source=source or _UNNAMED,
        sink=sink,
        pins=dict(map(_pin, pin or ())),
        pools=dict(map(_pool, pool or ())),
        exclude=exclude or (),
    )
    given = GivenEntries(PIPELINES, {name or _UNNAMED: declaration})
    change = with_entries(file, given, replace=replace or name is None)
    found = assembled_or_explained(
        change.configuration, file.path, name or _UNNAMED, explain=explain
    )
    saved = name is not None and save_change(file, change.data, save=save)
    data = {
        "name": name,
        "file": str(file.path) if saved else None,
        "chain": _chain(found),
        "declaration": declaration if source is not None else None,
    }
    _print(file, data, found, explain=explain, output=output)


def save_given(
    *,
    name: str,
    given: str,
    config: Path | None,
    replace: bool,
    no_import: bool,
    allow_package: list[str] | None,
    output: OutputFormat | None,
) -> None:
    """Put the declaration of a pipeline into the configuration file, once it is checked."""
    file = configured(config, allow_package or (), may_be_new=True)
    found = read_given_pipeline(name, *given_bytes(given))
    change = with_entries(file, found, replace=replace)
    if not no_import:
        require_makeable(change, found)
    was_there = name in file.configuration.data_pipelines
    save_change(file, change.data, save=True)
    done = "replaced" if was_there else "saved"
    report = Report(
        {"name": name, "change": done, "file": str(file.path)},
        ("pipeline", "change", "saved in"),
        [(name, done, str(file.path))],
        text=("saved in",),
    )
    print_report(report, file.configuration.cli_settings, output)


def remove_named(
    *, names: list[str], config: Path | None, yes: bool, save: bool, output: OutputFormat | None
) -> None:
    """Take pipelines out of the configuration file; refused while another reads what they write."""
    file = configured(config)
    data = without_pipelines(file, names, even_if_read=yes)
    saved = save_change(file, data, save=save)
    changes = dict.fromkeys(names, "removed")
    report = Report(
        {
            "file": str(file.path),
            "saved": saved,
            "changes": [{"name": name, "change": change} for name, change in changes.items()],
        },
        ("pipeline", "change", "saved in"),
        [(name, change, str(file.path) if saved else "") for name, change in changes.items()],
        text=("saved in",),
    )
    print_report(report, file.configuration.cli_settings, output)


def _pin(text: str) -> tuple[int, str]:
    found = _PIN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"--pin {text!r}: give STEP=AGENT, such as 2=once")
    return int(found[1]), found[2]


def _pool(text: str) -> tuple[int, int]:
    found = _POOL.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"--pool {text!r}: give STEP=NUMBER, such as 2=3, with a number from 2"
        )
    return int(found[1]), int(found[2])


def _chain(found: Assembled) -> list[dict[str, Any]]:
    explanation = found.choice.explanation
    return [
        {
            "step": step.number,
            "capability": step.capability,
            "agent": chosen.agent_id,
            "members": list(members),
            "score": chosen.score.value,
        }
        for step, members in zip(explanation.steps, found.members, strict=True)
        for chosen in step.candidates[:1]  # the chosen one stands first
    ]


def _print(
    file: ConfigurationFile,
    data: dict[str, Any],
    found: Assembled,
    *,
    explain: bool,
    output: OutputFormat | None,
) -> None:
    settings = file.configuration.cli_settings
    if explain:
        data["explanation"] = found.choice.explanation.as_json()
    rows = [
        (str(one["step"]), one["capability"], ", ".join(one["members"]), f"{one['score']:.3f}")
        for one in data["chain"]
    ]
    print_report(Report(data, ("step", "capability", "agent", "score"), rows), settings, output)
    if chosen_format(settings, output) is OutputFormat.JSON:
        return
    if explain:
        for line in explanation_lines(found.choice.explanation):
            typer.echo(line)
    if data["file"] is not None:
        typer.echo(f"Saved as {data['name']} in {data['file']}.")
