"""`streamapp topics`: lists the broker's topics, creates and changes the declared ones."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from streamapp.brokers.protocols import Admin, Broker, TopicDescription
from streamapp.cli.kafka import kafka_broker, started_admin
from streamapp.cli.loading import load_topologies, topics_of
from streamapp.cli.needed_topics import DEFAULT_PARTITIONS, needed_topics
from streamapp.cli.options import AllowPackageOption, BootstrapServersOption
from streamapp.errors import TopicError
from streamapp.observability.logs import configure_logging
from streamapp.pipeline.topology import Topology
from streamapp.record import TopicPartition
from streamapp.renames.asked_once import AskedOnce
from streamapp.renames.renames import find_renames
from streamapp.topics.apply import apply_plan
from streamapp.topics.catalogue import Catalogue, read_catalogue
from streamapp.topics.plan import TopicChange, plan_topics

DEFAULT_FOLDER = Path("topics")
_INTERNAL = "__"
_HEADINGS = ("topic", "partitions", "copies", "offsets", "retention", "max bytes")

app = typer.Typer(
    no_args_is_help=True, help="List the topics on Kafka, or create the declared ones."
)


@app.command("list")
def list_topics(bootstrap_servers: BootstrapServersOption = None) -> None:
    """List the topics, except Kafka's internal ones."""
    configure_logging("WARNING")
    asyncio.run(_list(kafka_broker(bootstrap_servers)))


@app.command()
def apply(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:PIPELINE",
            help="A pipeline or bundle; those of its topics that no file declares are created too.",
        ),
    ] = None,
    *,
    allow_package: AllowPackageOption = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder of YAML files that declare topics.  [default: topics]"),
    ] = None,
    partitions: Annotated[
        int,
        typer.Option(
            min=1, help="Number of partitions of the pipeline's topics that no file declares."
        ),
    ] = DEFAULT_PARTITIONS,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of copies of each of these partitions.  [default: that of the broker]",
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Add partitions to keyed topics too, although keys then change partitions.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the changes without making them.")
    ] = False,
    bootstrap_servers: BootstrapServersOption = None,
) -> None:
    """Create and change topics so that Kafka has them as declared; never deletes anything."""
    configure_logging("WARNING")
    topologies = () if target is None else load_topologies(target, allow_package or ())
    catalogue = _catalogue(folder, optional=bool(topologies))
    if target is not None:
        catalogue = catalogue.with_topics(topics_of(target), target)
    broker = kafka_broker(bootstrap_servers)
    asyncio.run(
        _apply(
            broker,
            catalogue,
            topologies,
            partitions=partitions,
            replication_factor=replication_factor,
            yes=yes,
            dry_run=dry_run,
        )
    )


def _catalogue(folder: Path | None, *, optional: bool) -> Catalogue:
    """The declared topics; with a pipeline, the default folder may be missing."""
    if folder is None and optional and not DEFAULT_FOLDER.is_dir():
        return Catalogue()
    return read_catalogue(folder or DEFAULT_FOLDER)


async def _apply(
    broker: Broker,
    catalogue: Catalogue,
    topologies: Sequence[Topology],
    *,
    partitions: int,
    replication_factor: int | None,
    yes: bool,
    dry_run: bool,
) -> None:
    async with started_admin(broker) as admin:
        wanted = list(catalogue.specs())
        existing = await _existing(admin, topologies)
        kafka = AskedOnce(admin)
        for topology in topologies:
            wanted += needed_topics(
                topology,
                declared=wanted,
                existing=existing,
                partitions=partitions,
                replication_factor=replication_factor,
            )
            await _warn_of_renames(kafka, topology)
        plan = await plan_topics(admin, wanted, unkeyed=catalogue.unkeyed())
        if refusals := plan.refusals(yes=yes):
            raise TopicError("\n".join((*refusals, "Nothing was changed.")))
        if not plan.changes:
            typer.echo("Nothing to do: Kafka has the topics as declared.")
        elif dry_run:
            for change in plan.changes:
                typer.echo(f"would {change}")
        else:
            await apply_plan(admin, plan, yes=yes, on_done=_say_done)


async def _existing(admin: Admin, topologies: Iterable[Topology]) -> Mapping[str, TopicDescription]:
    """The topics of pipelines that Kafka has; those that match a pattern are among them."""
    names = {name for topology in topologies for name in topology.topics()}
    segments = [segment for topology in topologies for segment in topology.segments]
    if any(segment.patterns for segment in segments):
        listed = await admin.list_topics()
        for segment in segments:
            names.update(segment.topics_among(listed))
    return await admin.describe_topics(names)


async def _warn_of_renames(kafka: AskedOnce, topology: Topology) -> None:
    """Print what will keep the pipeline from starting, although its topics exist."""
    renames = await find_renames(kafka, topology, topology.segments)
    for sentence in (*renames.occupied, *renames.refusals):
        typer.echo(f"Before it runs: {sentence}.")


def _say_done(change: TopicChange) -> None:
    typer.echo(f"done: {change}")


async def _list(broker: Broker) -> None:
    async with started_admin(broker) as admin:
        names = sorted(n for n in await admin.list_topics() if not n.startswith(_INTERNAL))
        topics = await admin.describe_topics(names)
        offsets = await _offset_counts(admin, topics.values())
    if not topics:
        typer.echo("There are no topics; declare some and run `streamapp topics apply`.")
        return
    rows: list[tuple[str, ...]] = [_HEADINGS]
    rows += [_row(topics[name], offsets[name]) for name in names]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        typer.echo("  ".join((name.ljust(widths[0]), *right)))


async def _offset_counts(admin: Admin, topics: Iterable[TopicDescription]) -> Mapping[str, int]:
    """Number of offsets in each topic: its records, and the markers of transactions."""
    names = [TopicPartition(t.name, i) for t in topics for i in range(t.partitions)]
    ends = await admin.end_offsets(names)
    beginnings = await admin.beginning_offsets(names)
    counts = dict.fromkeys((name.topic for name in names), 0)
    for name in names:
        counts[name.topic] += ends[name] - beginnings[name]
    return counts


def _row(topic: TopicDescription, offsets: int) -> tuple[str, ...]:
    return (
        topic.name,
        f"{topic.partitions}",
        f"{topic.replication_factor}",
        f"{offsets:,}",
        _retention(topic.config),
        f"{topic.max_message_bytes:,}",
    )


def _retention(config: Mapping[str, str]) -> str:
    policy = config["cleanup.policy"]
    if "delete" not in policy:
        return policy
    hours = int(config["retention.ms"]) / 3_600_000
    if hours < 0:
        return "forever"
    return f"{hours:.3g} h" if hours % 24 else f"{hours / 24:.0f} d"
