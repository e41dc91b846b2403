"""Looks at the changelogs of a Faust application before it starts.

Faust starts without one that is missing or has too few partitions, and then every record that
changes the table fails: all would be dead letters, for a fault that is not theirs.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from streamapp.brokers.protocols import Admin, TopicDescription
from streamapp.errors import TopicError

log = logging.getLogger(__name__)


def changelogs_of(app: Any) -> Mapping[str, Any]:
    """The tables of an application, by the names of their changelogs."""
    return {table.changelog_topic_name: table for table in app.tables.values()}


def sources_of(app: Any) -> frozenset[str]:
    """The topics that the agents of an application read."""
    return frozenset(topic for agent in app.agents.values() for topic in agent.channel.topics)


async def check_changelogs(app: Any, admin: Admin) -> None:
    """Require changelogs with which the tables can be written, and tell of those that are gone.

    Raises:
        TopicError: one is missing, and Faust may not make it; or no agent reads a topic with as
            many partitions, so that none can write the table.
        BrokerError: the broker does not answer.
    """
    tables = changelogs_of(app)
    if not tables:
        return
    found = await admin.describe_topics([*tables, *sources_of(app)])
    if faults := [*_missing(app, tables, found), *_unlike(app, tables, found)]:
        raise TopicError(f"Faust application {app.conf.id!r}: " + "; ".join(faults))
    missing = sorted(name for name in tables if name not in found)
    if missing and await admin.committed_offsets(app.conf.id):
        _tell_begins_empty(app, tables, missing)


def _missing(
    app: Any, tables: Mapping[str, Any], found: Mapping[str, TopicDescription]
) -> Iterator[str]:
    for name, table in sorted(tables.items()):
        if name not in found and not app.conf.topic_allow_declare:
            yield (
                f"topic {name!r}, the changelog of table {table.name!r}, is missing, and"
                f" topic_allow_declare keeps Faust from making it: create it with"
                f" {_made_with(app, table)} partitions, or take the setting out"
            )


def _unlike(
    app: Any, tables: Mapping[str, Any], found: Mapping[str, TopicDescription]
) -> Iterator[str]:
    sources = {name: found[name].partitions for name in sorted(sources_of(app)) if name in found}
    for name, table in sorted(tables.items()):
        # Of others it is not by the partition of the source that a change finds its own.
        is_beside = table.is_global or table.use_partitioner or not sources
        has = found[name].partitions if name in found else _made_with(app, table)
        if is_beside or has in sources.values():
            continue
        counts = ", ".join(f"{source} has {count}" for source, count in sources.items())
        what = "has" if name in found else "would get"
        yield (
            f"topic {name!r}, the changelog of table {table.name!r}, {what} {has} partitions, and"
            f" no topic of its agents has as many ({counts}), so none can write the table: give"
            " both the same, for a new one by topic_partitions of the application"
        )


def _made_with(app: Any, table: Any) -> int:
    """How many partitions Faust would give a changelog."""
    return int(table.changelog_topic.partitions or app.conf.topic_partitions)


def _tell_begins_empty(app: Any, tables: Mapping[str, Any], missing: Iterable[str]) -> None:
    for name in missing:
        log.warning(
            "Faust application %s has worked before, and topic %s is not there: table %s begins"
            " empty. If the table is new, that is right; else its changelog was deleted, and what"
            " it had is lost",
            app.conf.id,
            name,
            tables[name].name,
        )
