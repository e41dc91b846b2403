"""Decodes the finished offsets in a commit's metadata, without code of the runtime.

The text is `1:form:base:data`: the form is `b`, `r`, or `n` without any offsets, the base is the
committed offset, and the data is base64. A bitset (`b`) has one bit for each offset from the base
on, the lowest first in each byte. Runs (`r`) are pairs of varints: the number of offsets left out,
the number in a row.
"""

import base64
from collections.abc import Iterator

from streamapp.brokers.protocols import CommittedOffset

_HIGH_BIT = 0x80


def finished_ahead(commit: CommittedOffset) -> list[int]:
    """Offsets beyond the committed one that the commit says are finished.

    Raises:
        ValueError: the text does not have the format above.
    """
    version, form, base, data = commit.metadata.split(":")
    if version != "1" or int(base) != commit.offset or form not in ("b", "r", "n"):
        raise ValueError(f"not a form of ours: {commit}")
    content = base64.b64decode(data, validate=True)
    if form == "b":
        whole = int.from_bytes(content, "little")
        return [commit.offset + bit for bit in range(whole.bit_length()) if whole >> bit & 1]
    return list(_runs(commit.offset, list(_numbers(content))))


def _runs(at: int, numbers: list[int]) -> Iterator[int]:
    for left_out, count in zip(numbers[::2], numbers[1::2], strict=True):
        at += left_out
        yield from range(at, at + count)
        at += count


def _numbers(content: bytes) -> Iterator[int]:
    digits: list[int] = []
    for byte in content:
        digits.append(byte & ~_HIGH_BIT)
        if byte < _HIGH_BIT:
            yield sum(digit << 7 * place for place, digit in enumerate(digits))
            digits = []
    if digits:
        raise ValueError("the last number has no end")
