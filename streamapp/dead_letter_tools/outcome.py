"""What has become of letters that were sent back."""

from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from streamapp.brokers.protocols import Admin, ReadingBroker
from streamapp.clock import Clock
from streamapp.dead_letter_tools.reading import ends_of, read_records
from streamapp.dead_letter_tools.targets import Target
from streamapp.letters.dialects import read_letter
from streamapp.letters.groups import Group, Groups
from streamapp.record import TopicPartition

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of them.

    Attributes:
        left: how many offsets of the replay topics the stages have not finished.
        failed: those that have failed again, grouped; the stage may still retry others later.
    """

    left: int
    failed: list[Group]


async def outcome_of(
    broker: ReadingBroker,
    admin: Admin,
    clock: Clock,
    targets: Collection[Target],
    replay: str,
    since: Mapping[TopicPartition, int],
    *,
    sent: Mapping[TopicPartition, int],
    seconds: float,
    on_left: Callable[[int], None] = lambda _left: None,
) -> Outcome:
    """Wait until the stages have finished what was sent to them, and say what has failed again.

    Args:
        broker: has the topics.
        admin: asks how far the stages are.
        clock: measures the wait.
        targets: the stages.
        replay: id of the replay.
        since: where their dead-letter topics ended before anything was sent.
        sent: the offset behind the last record that was sent to each partition, if known.
        seconds: longest wait.
        on_left: told now and then how many offsets are left.

    Raises:
        BrokerError: the broker does not answer.
    """
    # Right after a transaction, readers may not see its end yet; what was sent counts in any case.
    ends = await ends_of(admin, await admin.partition_counts([one.topic for one in targets]))
    for place in ends:
        ends[place] = max(ends[place], sent.get(place, 0))
    deadline = clock.monotonic() + seconds
    while (left := await _left(admin, targets, ends)) and clock.monotonic() < deadline:
        on_left(left)
        await clock.sleep(POLL_SECONDS)
    on_left(left)
    groups = Groups()
    names = sorted({target.dead_letters for target in targets})
    now = await ends_of(admin, await admin.partition_counts(names))
    async with aclosing(read_records(broker, now, starts=since)) as records:
        async for place, record in records:
            letter = read_letter(place, record)
            if letter.told.sent_back.replay == replay:
                groups.add(letter)
    return Outcome(left, groups.largest_first())


async def _left(
    admin: Admin, targets: Collection[Target], ends: Mapping[TopicPartition, int]
) -> int:
    beginnings = await admin.beginning_offsets(list(ends))
    groups = {target.topic: target.group for target in targets}
    committed = {group: await admin.committed_offsets(group) for group in set(groups.values())}
    left = 0
    for place, end in ends.items():
        stored = committed[groups[place.topic]].get(place)
        left += max(0, end - (beginnings[place] if stored is None else stored.offset))
    return left
