"""What has become of letters that were sent back."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from streamapp.brokers.protocols import Admin, ReadingBroker
from streamapp.clock import Clock
from streamapp.dead_letter_tools.reading import ends_of, read_records
from streamapp.dead_letter_tools.sending import Sent
from streamapp.letters.dialects import read_letter
from streamapp.letters.groups import Group, Groups
from streamapp.record import TopicPartition

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of them.

    Attributes:
        left: how many records of the replay topics the stages have not finished.
        failed: those that have failed again, grouped; the stage may still retry others later.
        as_before: how many of them failed as letters that were sent had failed.
        by_old_runs: how many were given up by a run of a worker that had given up such letters:
            it has not been restarted since, so it runs the code of that time.
    """

    left: int
    failed: list[Group]
    as_before: int = 0
    by_old_runs: int = 0


async def outcome_of(
    broker: ReadingBroker,
    admin: Admin,
    clock: Clock,
    sent: Sent,
    replay: str,
    since: Mapping[TopicPartition, int],
    *,
    seconds: float,
    on_left: Callable[[int], None] = lambda _left: None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Wait until the stages have finished what was sent to them, and say what has failed again.

    Args:
        broker: has the topics.
        admin: asks how far the stages are.
        clock: measures the wait.
        sent: what was sent to them.
        replay: id of the replay.
        since: where their dead-letter topics ended before anything was sent.
        seconds: longest wait.
        on_left: told now and then how many offsets are left, transaction markers included.
        is_stopping: whether to wait no longer.

    Raises:
        BrokerError: the broker does not answer.
    """
    # Right after a transaction, readers may not see its end yet; what was sent counts in any case.
    ends = await ends_of(admin, await admin.partition_counts([one.topic for one in sent.sent]))
    for place in ends:
        ends[place] = max(ends[place], sent.ends.get(place, 0))
    groups = {target.topic: target.group for target in sent.sent}
    deadline = clock.monotonic() + seconds
    left = await _left(admin, groups, ends)
    while left and clock.monotonic() < deadline and not is_stopping():
        on_left(sum(ends[place] - start for place, start in left.items()))
        await clock.sleep(POLL_SECONDS)
        left = await _left(admin, groups, ends)
    on_left(sum(ends[place] - start for place, start in left.items()))
    records_left = await _count(broker, left, ends)
    names = sorted({target.dead_letters for target in sent.sent})
    now = await ends_of(admin, await admin.partition_counts(names))
    return await _failed(broker, sent, replay, since, now, records_left)


async def _failed(
    broker: ReadingBroker,
    sent: Sent,
    replay: str,
    since: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    left: int,
) -> Outcome:
    """What has failed again, by the dead letters since then."""
    groups, as_before, by_old_runs = Groups(), 0, 0
    records = read_records(broker, ends, starts=since, on_unreadable=lambda _: None)
    async with aclosing(records):
        async for place, record in records:
            letter = read_letter(place, record)
            if letter.told.sent_back.replay == replay:
                groups.add(letter)
                as_before += letter.told.fingerprint in sent.fingerprints
                by_old_runs += bool(letter.run) and letter.run in sent.runs
    return Outcome(left, groups.largest_first(), as_before, by_old_runs)


async def _left(
    admin: Admin, groups: Mapping[str, str], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """From where on partitions are not finished that are not finished to their ends."""
    beginnings = await admin.beginning_offsets(list(ends))
    committed = {group: await admin.committed_offsets(group) for group in set(groups.values())}
    left = {}
    for place, end in ends.items():
        stored = committed[groups[place.topic]].get(place)
        start = beginnings[place] if stored is None else stored.offset
        if start < end:
            left[place] = start
    return left


async def _count(
    broker: ReadingBroker,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> int:
    """Number of records; offsets would count the markers of transactions too."""
    count = 0
    wanted = {place: ends[place] for place in starts}
    records = read_records(broker, wanted, starts=starts, on_unreadable=lambda _: None)
    async with aclosing(records):
        async for _ in records:
            count += 1
    return count
