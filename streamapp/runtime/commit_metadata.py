"""Finished offsets above the frontier, as text beside a committed offset.

A restart skips what this says is finished. The text is ASCII: version, form, the committed offset
that the rest counts from, and the offsets in base64, either as a bitset or as runs, whichever is
shorter. The form was suggested by Confluent's Parallel Consumer, which keeps the same in the same
place.
"""

import base64
import binascii
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from streamapp.brokers.protocols import MAX_COMMIT_METADATA_BYTES

VERSION: Final = "1"
_BITSET: Final = "b"
_RUNS: Final = "r"
_SEPARATOR: Final = ":"
_LOW_BITS: Final = 0x7F
_MORE: Final = 0x80

MAX_OFFSETS: Final = 1 << 20
"""More than this in one text is not ours: no stage holds so many."""


def encode(base: int, finished: Collection[int]) -> tuple[str, bool]:
    """Text for finished offsets from `base` on, and whether all of them fit.

    Args:
        base: offset that is committed with the text.
        finished: finished offsets, none below it, in any order; it is one of them itself while
            what an earlier owner has finished there is not delivered again.

    Returns:
        At most 4,096 bytes, empty for no offsets; when not all fit, the lowest are kept.
    """
    if not finished:
        return "", True
    ordered = sorted(finished)
    head = _SEPARATOR.join((VERSION, "?", str(base), ""))
    room = (MAX_COMMIT_METADATA_BYTES - len(head)) // 4 * 3
    bitset, in_bitset = _as_bitset(base, ordered, room)
    runs, in_runs = _as_runs(base, ordered, room)
    # First what holds more, then what is shorter.
    use_runs = (in_runs, -len(runs)) > (in_bitset, -len(bitset))
    form, data, kept = (_RUNS, runs, in_runs) if use_runs else (_BITSET, bitset, in_bitset)
    text = base64.b64encode(data).decode()
    return head.replace("?", form) + text, kept == len(ordered)


def decode(text: str, base: int) -> frozenset[int]:
    """Finished offsets from `base` on.

    Text of another version, for another offset, or that nobody here has written, is ignored: then
    records are worked on again, which loses nothing.
    """
    parts = text.split(_SEPARATOR)
    if len(parts) != 4 or parts[0] != VERSION or parts[2] != str(base):  # noqa: PLR2004 - as encoded
        return frozenset()
    try:
        data = base64.b64decode(parts[3], validate=True)
    except (binascii.Error, ValueError):
        return frozenset()
    read = {_BITSET: _from_bitset, _RUNS: _from_runs}.get(parts[1])
    return frozenset() if read is None else read(base, data)


def _as_bitset(base: int, ordered: Sequence[int], room: int) -> tuple[bytes, int]:
    """One bit for each offset after `base`; as many as fit."""
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
    """Pairs of varints: offsets left out, offsets in a row; as many pairs as fit."""
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
    """First offset and length of each row of offsets without a hole."""
    first = last = ordered[0]
    for offset in ordered[1:]:
        if offset != last + 1:
            yield first, last - first + 1
            first = offset
        last = offset
    yield first, last - first + 1


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first, as protocol buffers write it."""
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
