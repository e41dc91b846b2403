"""Encodes finished offsets above the frontier as a text that is committed with an offset.

A restart does not work on these records again. The text is ASCII and has four parts: the version,
the encoding, the committed offset (the base), and the finished offsets in base64, relative to the
base. They are encoded as a bitset or as runs, whichever is shorter. Confluent's Parallel Consumer
stores the same information in the same place.
"""

import base64
import binascii
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from streamapp.brokers.protocols import MAX_COMMIT_METADATA_BYTES, CommittedOffset

VERSION: Final = "1"
_BITSET: Final = "b"
_RUNS: Final = "r"
_NONE: Final = "n"
_SEPARATOR: Final = ":"
_LOW_BITS: Final = 0x7F
_MORE: Final = 0x80

MAX_OFFSETS: Final = 1 << 20
"""A text with more offsets was not written by us: no stage holds so many."""


def encode(base: int, finished: Collection[int]) -> tuple[str, bool]:
    """Encode finished offsets from `base` on.

    Args:
        base: offset that is committed with the text.
        finished: finished offsets in any order, none below `base`. `base` itself may be one of
            them: an earlier owner finished it, and its record was not read again yet.

    Returns:
        A text of at most 4,096 bytes, and whether all offsets are in it. When not all fit, it has
        the lowest. Without any it is a mark that the commit is ours.
    """
    if not finished:
        return mark(base), True
    ordered = sorted(finished)
    head = _SEPARATOR.join((VERSION, "?", str(base), ""))
    room = (MAX_COMMIT_METADATA_BYTES - len(head)) // 4 * 3
    bitset, in_bitset = _as_bitset(base, ordered, room)
    runs, in_runs = _as_runs(base, ordered, room)
    # The one that holds more offsets; if they hold the same, the shorter one.
    use_runs = (in_runs, -len(runs)) > (in_bitset, -len(bitset))
    form, data, kept = (_RUNS, runs, in_runs) if use_runs else (_BITSET, bitset, in_bitset)
    text = base64.b64encode(data).decode()
    return head.replace("?", form) + text, kept == len(ordered)


def mark(base: int) -> str:
    """The text of a commit of ours without finished offsets."""
    return _SEPARATOR.join((VERSION, _NONE, str(base), ""))


def marked(offset: int) -> CommittedOffset:
    """A commit of ours without finished offsets."""
    return CommittedOffset(offset, mark(offset))


def is_ours(text: str, base: int) -> bool:
    """Whether a stage has committed this text with this offset.

    Other programs that move the positions of a group commit no text, or leave that of another
    offset.
    """
    parts = text.split(_SEPARATOR)
    return len(parts) == 4 and parts[0] == VERSION and parts[2] == str(base)  # noqa: PLR2004 - as encoded


def decode(text: str, base: int) -> frozenset[int]:
    """Decode finished offsets from `base` on.

    A text of another version, with another base, or that was not written by `encode`, is ignored.
    Its records are then worked on again, so nothing is lost.
    """
    if not is_ours(text, base):
        return frozenset()
    parts = text.split(_SEPARATOR)
    try:
        data = base64.b64decode(parts[3], validate=True)
    except (binascii.Error, ValueError):
        return frozenset()
    read = {_BITSET: _from_bitset, _RUNS: _from_runs}.get(parts[1])
    return frozenset() if read is None else read(base, data)


def _as_bitset(base: int, ordered: Sequence[int], room: int) -> tuple[bytes, int]:
    """One bit for each offset from `base` on, as many as fit; and how many offsets that covers."""
    bits = bytearray(min(room, (ordered[-1] - base) // 8 + 1))
    kept = 0
    for offset in ordered:
        place = offset - base
        if place >= 8 * len(bits):
            break
        bits[place >> 3] |= 1 << (place & 7)
        kept += 1
    return bytes(bits), kept


def _from_bitset(base: int, data: bytes) -> frozenset[int]:
    return frozenset(
        base + 8 * i + bit
        for i, byte in enumerate(data)
        if byte
        for bit in range(8)
        if byte >> bit & 1
    )


def _as_runs(base: int, ordered: Sequence[int], room: int) -> tuple[bytes, int]:
    """For each run of offsets two varints: offsets left out before it, and its length.

    Returns:
        As many runs as fit, and how many offsets they cover.
    """
    data = bytearray()
    after, kept = base, 0
    for first, count in _runs(ordered):
        pair = _varint(first - after) + _varint(count)
        if len(data) + len(pair) > room:
            break
        data += pair
        after = first + count
        kept += count
    return bytes(data), kept


def _from_runs(base: int, data: bytes) -> frozenset[int]:
    numbers = list(_varints(data))
    found: set[int] = set()
    at = base
    for left_out, count in zip(numbers[::2], numbers[1::2], strict=False):
        at += left_out
        if len(found) + count > MAX_OFFSETS:
            return frozenset()
        found.update(range(at, at + count))
        at += count
    return frozenset(found)


def _runs(ordered: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First offset and length of each run of consecutive offsets."""
    first = last = ordered[0]
    for offset in ordered[1:]:
        if offset != last + 1:
            yield first, last - first + 1
            first = offset
        last = offset
    yield first, last - first + 1


def _varint(number: int) -> bytes:
    """Encode a number with seven bits in each byte, lowest first, as Protocol Buffers do."""
    out = bytearray()
    while number > _LOW_BITS:
        out.append(number & _LOW_BITS | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & _LOW_BITS) << shift
        shift += 7
        if not byte & _MORE:
            yield number
            number = shift = 0
