"""Marks dead letters as done with: the ledger says what, when and why."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing

from streamapp.brokers.protocols import ReadingBroker
from streamapp.clock import Clock
from streamapp.dead_letter_tools.fates import Place
from streamapp.dead_letter_tools.reading import OnUnreadable, read_letters
from streamapp.dead_letter_tools.sending import MOST_RECORDS, LedgerWriter
from streamapp.letters.ledger import Ledger, LetterState, entry_for
from streamapp.letters.letter import Letter
from streamapp.letters.selection import Selection
from streamapp.record import TopicPartition

DISCARDABLE = (LetterState.OPEN, LetterState.QUARANTINED)
"""States of the letters with which something is still to be done."""


async def discard(
    broker: ReadingBroker,
    writer: LedgerWriter,
    selection: Selection,
    ends: Mapping[TopicPartition, int],
    clock: Clock,
    *,
    why: str,
    only: Collection[Place] | None = None,
    on_discarded: Callable[[int], None] = lambda _count: None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Mark the selected letters below these offsets as discarded; they stay in their topic.

    Args:
        broker: has the letters.
        writer: writes the ledger.
        selection: which are meant.
        ends: the offsets.
        clock: the time.
        why: the reason, which the ledger keeps.
        only: places of the letters of which some are marked; `None` for all.
        on_discarded: told how many more were marked.
        is_stopping: whether to end behind what was marked.

    Returns:
        How many were marked.

    Raises:
        FencedError: somebody else writes the ledger now.
        BrokerError: the broker cannot be reached, or refuses something.
    """
    count = waiting = 0
    letters = discardable(broker, writer.ledger, selection, ends)
    async with aclosing(letters):
        async for letter in letters:
            if is_stopping():
                break
            if only is not None and (letter.place, letter.offset) not in only:
                continue
            at_ms = int(clock.time() * 1000)
            writer.add(letter, entry_for(letter, LetterState.DISCARDED, at_ms, why=why))
            waiting += 1
            if waiting >= MOST_RECORDS:
                await writer.write()
                on_discarded(waiting)
                count, waiting = count + waiting, 0
    await writer.write()
    await writer.settle(clock)
    on_discarded(waiting)
    return count + waiting


async def discardable(
    broker: ReadingBroker,
    ledger: Ledger,
    selection: Selection,
    ends: Mapping[TopicPartition, int],
    on_unreadable: OnUnreadable = lambda _: None,
) -> AsyncGenerator[Letter, None]:
    """The selected letters below these offsets with which something is still to be done.

    Raises:
        BrokerError: they cannot be read.
    """
    async with aclosing(read_letters(broker, ends, on_unreadable=on_unreadable)) as letters:
        async for letter in letters:
            if ledger.entry_of(letter).state in DISCARDABLE and selection.matches(letter):
                yield letter
