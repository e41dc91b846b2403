"""Which letters stand in replay topics already, whatever the ledger says.

A ledger that was deleted says of no letter that it was sent. What was sent is kept in the replay
topic as long as the letter, so it is found there.
"""

from collections.abc import Collection, Mapping
from contextlib import aclosing
from hashlib import sha256
from itertools import chain

from streamapp.brokers.protocols import Admin, ReadingBroker
from streamapp.dead_letter_tools.reading import ends_of, read_records
from streamapp.dead_letter_tools.targets import Target
from streamapp.letters.letter import Letter
from streamapp.letters.send_back import headers_sent_back
from streamapp.letters.sent_back import REPLAY_HEADER
from streamapp.record import Headers


async def sent_before(
    broker: ReadingBroker, admin: Admin, targets: Collection[Target]
) -> Mapping[bytes, str]:
    """Marks of the records in the replay topics of these stages, with the replay that sent each.

    Raises:
        BrokerError: a topic cannot be read.
    """
    found: dict[bytes, str] = {}
    counts = await admin.partition_counts([target.topic for target in targets])
    if not counts:
        return found
    ends = await ends_of(admin, counts)
    replays: dict[bytes | None, str] = {}  # so that each id is kept once
    async with aclosing(read_records(broker, ends, on_unreadable=lambda _: None)) as records:
        async for _, record in records:
            sent_by = dict(record.headers).get(REPLAY_HEADER)
            if sent_by is not None:
                replay = replays.setdefault(sent_by, sent_by.decode(errors="replace"))
                found[_mark(record.key, record.value, record.headers)] = replay
    return found


def mark_of(letter: Letter, target: Target) -> bytes:
    """The mark of what a letter is sent to this stage as, whichever replay sends it."""
    headers = headers_sent_back(letter, target.pipeline, target.stage, "")
    return _mark(letter.key, letter.value, headers)


def _mark(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    hashed = sha256()
    named = ((name.encode(), content) for name, content in headers if name != REPLAY_HEADER)
    for part in (key, value, *chain.from_iterable(named)):
        hashed.update(b"-" if part is None else b"%d:" % len(part) + part)
    return hashed.digest()[:16]
