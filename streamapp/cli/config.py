"""`streamapp config`: shows and checks the configuration file, and prints what is made of it."""

import os
from typing import Annotated, Any

import typer

from streamapp.cli.configured import configured, configured_with_faults
from streamapp.cli.options import AllowPackageOption, ConfigOption, OutputOption
from streamapp.cli.output import Report, print_json, print_report
from streamapp.cli.warn import warn
from streamapp.configuration.file import ConfigurationFile
from streamapp.configuration.lint import FaultsError, missing_variables
from streamapp.configuration.lint import lint as lint_whole
from streamapp.configuration.origins import ENTRIES, origins_of
from streamapp.configuration.schema import configuration_schema
from streamapp.observability.alerts.rule import Objectives
from streamapp.observability.alerts.rule_file import RUNBOOKS, rule_file
from streamapp.secret_files import is_set

app = typer.Typer(
    no_args_is_help=True, help="Show and check the configuration file, and what is made of it."
)


@app.command()
def show(config: ConfigOption = None, *, output: OutputOption = None) -> None:
    """Show what holds: the file, defaults, and what the environment overrides.

    Of a secret it shows the name of its variable, never the value. In JSON, `origins` says of each
    setting and of each entry where it comes from; what an entry leaves out is a default.
    """
    file = configured(config)
    settings = file.configuration.cli_settings
    found = list(origins_of(file, os.environ))
    rows = [
        (f"{section}.{name}", _described(file, section, name), str(origin))
        for section, name, origin in found
    ]
    origins: dict[str, dict[str, Any]] = {}
    for section, name, origin in found:
        origins.setdefault(section, {})[name] = origin.as_json()
    data = {**file.configuration.model_dump(mode="json", by_alias=True), "origins": origins}
    report = Report(data, ("setting", "value", "from"), rows, text=("value", "from"))
    print_report(report, settings, output)


@app.command("lint")
def lint_file(
    config: ConfigOption = None,
    *,
    allow_package: AllowPackageOption = None,
    no_import: Annotated[
        bool,
        typer.Option("--no-import", help="Only read the file; import and make no agent."),
    ] = False,
) -> None:
    """Check the file, and make every agent and pipeline once; tell where each fault is.

    What is no fault, such as outputs that go nowhere, is told on standard error.

    Agents are imported from allowed packages only, and are not opened.
    """
    found = configured_with_faults(config, allow_package or ())
    try:
        warn(lint_whole(found, makes=not no_import))
    except FaultsError as error:
        warn(error.warnings)
        raise
    file = found.right()
    for name, variable in missing_variables(file, os.environ):
        typer.echo(f"streamapp: data_providers.{name}: {variable} is not set", err=True)
    typer.echo(f"{_origin(file)}: {_counted(file)}, no faults")


@app.command()
def schema() -> None:
    """Print the JSON schema of the file, for editors."""
    print_json(configuration_schema())


@app.command()
def alerts(
    config: ConfigOption = None,
    *,
    pipeline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A pipeline that the file does not declare, of which workers report; repeatable.",
        ),
    ] = None,
    lag_objective: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, help="A stage is behind by no more than this."),
    ] = Objectives().lag_seconds,
    success_objective: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            min=50,
            max=99.999,
            help="So many of the records that are not at fault themselves are worked on.",
        ),
    ] = 100 * Objectives().success_ratio,
    runbooks: Annotated[
        str, typer.Option(metavar="URL", help="Address of the folder of runbooks.")
    ] = RUNBOOKS,
) -> None:
    """Print alert rules for Prometheus: a rule file for the pipelines of the file.

    They watch every stage that reports, and tell when none does of a declared pipeline. Recording
    rules are among them. Each alert has a page in docs/runbooks. There are none without a pipeline,
    or if data_monitoring.performance_alerts or data_monitoring.enabled is false.
    """
    configuration = configured(config).configuration
    monitoring = configuration.data_monitoring
    off = [one for one in ("enabled", "performance_alerts") if not getattr(monitoring, one)]
    declared = dict.fromkeys([*configuration.data_pipelines, *(pipeline or ())])
    pipelines = () if off else declared
    for name in off:
        typer.echo(f"streamapp: data_monitoring.{name} is false: there are no rules", err=True)
    objectives = Objectives(lag_objective, success_objective / 100)
    typer.echo(rule_file(pipelines, objectives, runbooks.rstrip("/")), nl=False)


def _origin(file: ConfigurationFile) -> str:
    return f"no {file.path}" if file.digest is None else str(file.path)


def _counted(file: ConfigurationFile) -> str:
    found = file.configuration
    parts = (
        ("agent", len(found.data_agents)),
        ("pipeline", len(found.data_pipelines)),
        ("provider", len(found.data_providers)),
    )
    return ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for name, number in parts)


def _described(file: ConfigurationFile, section: str, name: str) -> str:
    found = file.configuration
    if section not in ENTRIES:
        return _word(getattr(getattr(found, section), name))
    if section == "data_agents":
        agent = found.data_agents[name]
        return f"{agent.module_path}:{agent.agent_class}"
    if section == "data_providers":
        provider = found.data_providers[name]
        variable = provider.key_from_environment
        told = "set" if variable and is_set(os.environ, variable) else "not set"
        return f"{provider.kind}, {f'{variable} {told}' if variable else 'without a key'}"
    pipeline = found.data_pipelines[name]
    return f"{pipeline.reads} to {pipeline.writes or 'no sink'}, {len(pipeline.stages)} stages"


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
