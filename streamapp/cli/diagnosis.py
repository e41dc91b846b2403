"""What a pipeline needs to run, checked one by one without changing anything."""

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin, TopicDescription
from streamapp.cli.kafka import kafka_settings, started_admin
from streamapp.cli.loading import load_topologies
from streamapp.errors import BrokerError, ConfigurationError, MissingTopicsError, StreamappError
from streamapp.native_leaves import SELECTED
from streamapp.observability.readable import age
from streamapp.pipeline.selection import topics_between
from streamapp.pipeline.topology import Segment, Topology
from streamapp.runtime.described_topics import described_topics
from streamapp.runtime.group_lag import group_lags
from streamapp.runtime.group_watch import foreign_members
from streamapp.runtime.topic_risks import topic_risks
from streamapp.service import Service
from streamapp.settings import KafkaSettings
from streamapp.version import VERSION

_LIBRARIES = ("aiokafka", "pydantic", "orjson", "prometheus-client", "faust-streaming")


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was looked at.

    Attributes:
        what: what it was.
        ok: whether it is well; `None` if somebody should look at it.
        told: what was found, in one sentence.
        fix: what to do, if anything.
    """

    what: str
    ok: bool | None
    told: str
    fix: str = ""


def diagnose(
    target: str | None,
    packages: Collection[str],
    bootstrap_servers: str | None,
    state: Path,
) -> Iterator[Check]:
    """Check everything; what cannot be reached ends the checks that need it.

    Args:
        target: the pipeline or bundle; `None` for none.
        packages: packages that may be imported beside those of the environment.
        bootstrap_servers: addresses of Kafka, in the place of those of the environment.
        state: the folder in which state is kept.
    """
    yield _versions()
    yield _state(state)
    topologies: Sequence[Topology] = ()
    try:
        settings = kafka_settings(bootstrap_servers)
        yield Check("settings", ok=True, told="every STREAMAPP_ variable is a setting")
    except ConfigurationError as error:
        yield Check("settings", ok=False, told=str(error))
        return
    if target is not None:
        try:
            topologies = load_topologies(target, packages)
            names = ", ".join(one.pipeline for one in topologies)
            yield Check("pipeline", ok=True, told=f"{names} can be built")
        except StreamappError as error:
            yield Check("pipeline", ok=False, told=str(error))
    yield from asyncio.run(_all(_of_kafka(settings, topologies, target or "")))


async def _all(checks: AsyncIterator[Check]) -> list[Check]:
    return [one async for one in checks]


def _versions() -> Check:
    libraries = ", ".join(f"{name} {_version_of(name)}" for name in _LIBRARIES)
    told = f"streamapp {VERSION}, Python {platform.python_version()}, {libraries}"
    told += f"; {SELECTED.sentence}"
    return Check("versions", ok=True, told=told)


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # an extra
        return "not installed"


def _state(folder: Path) -> Check:
    existing = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if os.access(existing, os.W_OK):
        return Check("state folder", ok=True, told=f"{folder} can be written")
    return Check(
        "state folder",
        ok=None,
        told=f"{folder} cannot be written: runs and scores are not remembered",
        fix="give a folder that can be written as STREAMAPP_STATE_FOLDER",
    )


async def _of_kafka(
    settings: KafkaSettings, topologies: Sequence[Topology], target: str
) -> AsyncIterator[Check]:
    broker = KafkaBroker(settings)
    try:
        async with started_admin(broker) as admin:
            topics = await admin.list_topics()
            told = f"{', '.join(settings.servers)} answers, with {len(topics)} topics"
            yield Check("kafka", ok=True, told=told)
            if topologies:
                async for check in _of_pipelines(broker, admin, topologies, target):
                    yield check
    except BrokerError as error:
        fix = "see that the brokers run, and that address and security settings are theirs"
        yield Check("kafka", ok=False, told=str(error), fix=fix)


async def _of_pipelines(
    broker: KafkaBroker, admin: Admin, topologies: Sequence[Topology], target: str
) -> AsyncIterator[Check]:
    segments = [segment for topology in topologies for segment in topology.segments]
    try:
        topics = await described_topics(admin, segments)
    except MissingTopicsError as error:
        missing = ", ".join(error.names)
        fix = f"streamapp topics apply {target}"
        yield Check("topics", ok=False, told=f"these do not exist: {missing}", fix=fix)
        return
    yield Check("topics", ok=True, told=f"all {len(topics)} topics exist")
    for risk in topic_risks(segments, topics_between(topologies), topics):
        yield Check("topics", ok=None, told=risk)
    for check in _time_limits(segments, topics):
        yield check
    try:
        await Service(broker, topologies).check(admin)
        yield Check("names", ok=True, told="no stage was renamed without a word")
    except StreamappError as error:
        yield Check("names", ok=False, told=str(error))
    async for check in _of_groups(admin, segments):
        yield check


def _time_limits(
    segments: Sequence[Segment], topics: Mapping[str, TopicDescription]
) -> Iterator[Check]:
    """Output topics that refuse records by their timestamps, which outputs have of their inputs."""
    for name in sorted({name for segment in segments for name in segment.written_topics()}):
        topic = topics.get(name)
        if topic is None or topic.max_age_ms is None:
            continue
        old = age(topic.max_age_ms / 1000)
        told = f"{name} refuses records whose timestamp is older than {old}: a backfill would fail"
        fix = f"set message.timestamp.before.max.ms of {name} higher before a backfill"
        yield Check("topics", ok=None, told=told, fix=fix)


async def _of_groups(admin: Admin, segments: Sequence[Segment]) -> AsyncIterator[Check]:
    for group in dict.fromkeys(segment.group for segment in segments if segment.reader is None):
        members = await admin.members(group)
        stranger = foreign_members(group, members)
        if stranger is not None:
            fix = "find that program, and give it a group of its own"
            yield Check("groups", ok=False, told=stranger, fix=fix)
        else:
            yield Check("groups", ok=True, told=f"{group} has {len(members)} members")
    for pipeline in dict.fromkeys(segment.pipeline for segment in segments):
        for lag in await group_lags(admin, pipeline):
            if lag.gone:
                told = f"{lag.group}: {lag.topic} has deleted {lag.gone:,} records unread"
                fix = f"raise retention.ms of {lag.topic}, and add workers"
                yield Check("groups", ok=False, told=told, fix=fix)
