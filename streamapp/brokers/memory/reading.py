"""Reads the records of a partition that can be read, or says why there are none.

Hot path: one slice of a list; no code runs for each record, unless one cannot be parsed.
"""

from collections.abc import Sequence

from streamapp.brokers.memory.log import PartitionLog
from streamapp.errors import OffsetOutOfRangeError, UnreadableRecordError
from streamapp.record import StoredRecord


def read_records(
    log: PartitionLog, position: int, max_records: int, group: str | None = None
) -> tuple[Sequence[StoredRecord], int]:
    """Records from a position on, up to the first that cannot be parsed, and the offset behind.

    Args:
        log: the partition.
        position: offset of the first record.
        max_records: most records.
        group: group that reads, which the error of an unreadable record names.

    Raises:
        OffsetOutOfRangeError: the position is not in the log.
        UnreadableRecordError: the first record cannot be parsed.
    """
    if not log.holds(position):
        raise _out_of_range(log, position)
    records, behind = log.read(position, max_records)
    if log.unreadable:
        for i, record in enumerate(records):
            if record.offset in log.unreadable:
                records, behind = records[:i], record.offset
                break
        if not records and behind in log.unreadable:
            raise _unreadable(log, behind, group)
    return records, behind


def _out_of_range(log: PartitionLog, position: int) -> OffsetOutOfRangeError:
    return OffsetOutOfRangeError(
        f"offset {position} of topic {log.partition.topic!r} partition {log.partition.partition} "
        f"is not in the log, which holds {log.start_offset} to {log.end_offset}: seek to where "
        "reading is to continue",
        offsets={log.partition: position},
    )


def _unreadable(log: PartitionLog, offset: int, group: str | None) -> UnreadableRecordError:
    topic, number = log.partition
    skip = f": to skip it, stop the workers of group {group!r} and set its offset to {offset + 1}"
    return UnreadableRecordError(
        f"the record at offset {offset} of topic {topic!r} partition {number} cannot be read"
        f"{'' if group is None else skip}",
        partition=log.partition,
        offset=offset,
    )
