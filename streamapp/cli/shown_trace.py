"""Follows a record and prints its way, for `streamapp trace`."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from streamapp.cli.configured import configured
from streamapp.cli.finding_text import finding_lines
from streamapp.cli.kafka import kafka_broker, started_admin
from streamapp.cli.loading import load_topologies
from streamapp.cli.output import chosen_format, print_json
from streamapp.cli.output_format import OutputFormat
from streamapp.cli.read_progress import read_progress
from streamapp.cli.shown_status import asked_states
from streamapp.cli.way_json import way_json
from streamapp.cli.way_text import way_lines
from streamapp.clock import SystemClock
from streamapp.configuration.file import ConfigurationFile
from streamapp.configuration.printable import printable
from streamapp.errors import ConfigurationError
from streamapp.observability.logs import configure_logging
from streamapp.pipeline.topology import Topology
from streamapp.record_way.follow import follow
from streamapp.record_way.found import parsed_address
from streamapp.record_way.search import Bounds
from streamapp.record_way.way import Way


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command, as they stand on the command line.

    Attributes:
        address: the record.
        targets: the pipelines.
        packages: packages that configuration files may import from.
        max_records, max_seconds: how much is read.
        web_url: a service that is asked why it waits; `None` is those of the saved runs.
        config: the configuration file; `None` is that of the current directory.
        bootstrap_servers: Kafka's address; `None` is that of the environment.
    """

    address: str
    targets: Sequence[str]
    packages: Sequence[str]
    max_records: int
    max_seconds: float
    web_url: str | None
    config: Path | None
    bootstrap_servers: str | None


def print_trace(asked: Asked, *, show_payload: bool, output: OutputFormat | None) -> None:
    """Follow a record, and print what was found."""
    configure_logging("WARNING")
    file = configured(asked.config, asked.packages)
    settings = file.configuration.cli_settings
    topologies = _topologies(asked, file)
    way = asyncio.run(_followed(asked, topologies))
    why = _why(asked, topologies)
    if chosen_format(settings, output) is OutputFormat.JSON:
        print_json(way_json(way, time.time(), why, show_payload=show_payload))
        return
    for line in way_lines(way, time.time(), why, show_payload=show_payload):
        typer.echo(printable(line))


def _topologies(asked: Asked, file: ConfigurationFile) -> list[Topology]:
    """The pipelines that are named, else those of the configuration file."""
    declared = file.configuration.data_pipelines.items()
    names = dict.fromkeys(one.bundle or name for name, one in declared)
    targets = asked.targets or [f"{file.path}#{name}" for name in names]
    if not targets:
        raise ConfigurationError(
            "no pipeline is given, and no configuration file declares one: give MODULE:PIPELINE,"
            " whose stages read or write the topic"
        )
    return [one for target in targets for one in load_topologies(target, asked.packages)]


async def _followed(asked: Asked, topologies: Sequence[Topology]) -> Way:
    address = parsed_address(asked.address)
    broker = kafka_broker(asked.bootstrap_servers)
    bounds = Bounds(asked.max_records, asked.max_seconds)
    async with started_admin(broker) as admin:
        with read_progress() as on_read:
            return await follow(
                address, topologies, broker, admin, SystemClock(), bounds=bounds, on_read=on_read
            )


def _why(asked: Asked, topologies: Sequence[Topology]) -> dict[tuple[str, str], list[str]]:
    """What is wrong with the stages, as services say that run."""
    names, now = {one.pipeline for one in topologies}, time.time()
    told: dict[tuple[str, str], list[str]] = {}
    for state in asked_states(asked.config, None, asked.web_url):
        if state.pipeline not in names or state.report is None or not state.is_live:
            continue
        for stage in state.report.stages:
            lines = list(finding_lines(f"{state.pipeline}.{stage.stage}", stage.findings, now))
            told.setdefault((state.pipeline, stage.stage), []).extend(lines)
    return told
