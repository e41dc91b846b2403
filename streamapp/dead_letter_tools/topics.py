"""The topics that sending back needs: replay topics of stages, ledgers of dead-letter topics."""

from collections.abc import Sequence

from streamapp.brokers.protocols import Admin, TopicDescription, TopicSpec
from streamapp.dead_letter_tools.targets import Target
from streamapp.errors import TopicError
from streamapp.letters.ledger import ledger_topic_of
from streamapp.topics.letter_limits import DEAD_LETTER_EXTRA_BYTES
from streamapp.topics.topic import check_topic_name

_WEEK_MS = 7 * 24 * 3_600_000


async def ensure_ledger(admin: Admin, letters: TopicDescription) -> str:
    """Make the ledger of a dead-letter topic unless it exists, and return its name.

    Raises:
        TopicError: it cannot be made, or would lose entries.
    """
    name = ledger_topic_of(letters.name)
    check_topic_name(name)
    config = {"cleanup.policy": "compact"}
    found = await _ensure(admin, TopicSpec(name, 1, letters.replication_factor, config))
    if found.deletes_old:
        raise TopicError(
            f"topic {name!r} deletes old records, so letters would be sent twice; set its"
            " cleanup.policy to compact"
        )
    return name


async def ensure_replay_topic(
    admin: Admin, target: Target, letters: TopicDescription
) -> TopicDescription:
    """Make the replay topic of a stage unless it exists, and say what it is like.

    It has as many partitions as the source, so that all workers share in it, and keeps what is sent
    for a week at least, and for as long as the dead-letter topic does: no worker may run meanwhile.

    Raises:
        TopicError: it cannot be made.
    """
    check_topic_name(target.topic)
    sources = await admin.partition_counts(target.sources)
    partitions = max((letters.partitions, *sources.values()))
    kept = letters.retention_ms
    config = {
        "max.message.bytes": str(letters.max_message_bytes + DEAD_LETTER_EXTRA_BYTES),
        "retention.ms": str(-1 if kept is None else max(_WEEK_MS, kept)),
    }
    spec = TopicSpec(target.topic, partitions, letters.replication_factor, config)
    return await _ensure(admin, spec)


async def described(admin: Admin, names: Sequence[str]) -> dict[str, TopicDescription]:
    """Descriptions of these topics.

    Raises:
        TopicError: one does not exist.
    """
    found = dict(await admin.describe_topics(names))
    if missing := [name for name in names if name not in found]:
        raise TopicError(
            f"there is no topic {missing[0]!r}; `streamapp topics list` shows those that there are"
        )
    return found


async def _ensure(admin: Admin, spec: TopicSpec) -> TopicDescription:
    found = (await admin.describe_topics([spec.name])).get(spec.name)
    if found is None:
        try:
            await admin.create_topics([spec])
        except TopicError:  # somebody else may have made it meanwhile
            if spec.name not in await admin.list_topics():
                raise
        found = (await described(admin, [spec.name]))[spec.name]
    return found
