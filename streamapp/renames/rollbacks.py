"""A rename that is rolled back: the old name goes on where the new one stands.

When a stage takes over the offsets of its old name, the group of that is marked with the new one.
If the old name is declared again, the mark tells that what it has is out of date.
"""

import logging

from streamapp.brokers.protocols import Admin, CommittedOffset
from streamapp.errors import CommitRefusedError
from streamapp.pipeline.topology import Topology
from streamapp.renames.asked_once import AskedOnce, Offsets
from streamapp.runtime.commit_metadata import marked

log = logging.getLogger(__name__)

_MARK = "renamed:"


def renamed_to(offsets: Offsets) -> str | None:
    """The name under which a stage has gone on, by the marks in its group; `None` without marks.

    A group that has committed anything since it was marked has a position of its own.
    """
    if not all(map(_is_mark, offsets.values())):
        return None
    names = (kept.metadata.removeprefix(_MARK) for kept in offsets.values())
    return min(names, default=None)


def without_marks(offsets: Offsets) -> Offsets:
    """The offsets as they were before the stage was renamed."""
    return {name: marked(kept.offset) if _is_mark(kept) else kept for name, kept in offsets.items()}


async def gone_on_as(kafka: AskedOnce, topology: Topology, offsets: Offsets) -> str | None:
    """The name under which a declared stage has gone on, if no stage of that name is declared.

    Args:
        kafka: what Kafka has.
        topology: the pipeline.
        offsets: what the group of the stage has.
    """
    declared = {step.stage.stage_id for segment in topology.segments for step in segment.steps}
    seen: list[str] = []
    name = renamed_to(offsets)
    while name is not None and name not in declared and name not in seen:
        seen.append(name)
        offsets = await kafka.committed_offsets(f"{topology.pipeline}.{name}")
        if not offsets:
            return None  # Kafka has forgotten it: what the old name has is the best that there is
        name = renamed_to(offsets)
    return seen[-1] if seen and name is None else None


async def store_renamed(admin: Admin, group: str, name: str) -> None:
    """Mark in the group of an old name that the stage goes on under another; only logged if not.

    Args:
        admin: stores it.
        group: the group of the old name.
        name: the new name of the stage.
    """
    stored = await admin.committed_offsets(group)
    marks = {p: CommittedOffset(kept.offset, f"{_MARK}{name}") for p, kept in stored.items()}
    try:
        await admin.set_offsets(group, marks)
    except CommitRefusedError as error:
        log.warning(
            "that %s goes on as %r could not be marked, so its old name would repeat what the new"
            " one does: %s",
            group,
            name,
            error,
        )


def _is_mark(kept: CommittedOffset) -> bool:
    return kept.metadata.startswith(_MARK)
