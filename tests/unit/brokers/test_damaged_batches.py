"""Damaged bytes give errors, never a crash and never a record that was not there."""

from collections.abc import Callable
from typing import Any

from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from streamapp.brokers.kafka.fetches import UnpackedRecords
from streamapp.brokers.kafka.parsing import log_of
from tests.unit.brokers.test_fetches import (
    ATTRIBUTES_AT,
    CRC_AT,
    Batch,
    encoded,
    packed,
    signed,
    told,
)

HEADERS: list[tuple[str, bytes | None]] = [("name", b"x"), ("other", None)]
WHOLE = encoded(Batch(((b"k", b"value", HEADERS), (None, None, []), (b"", b"", []))), 3)


def read(data: bytes, log: Callable[[bytes], Any]) -> tuple[list[tuple[Any, ...]], bool]:
    """What can be read of these bytes, and whether all of it can."""
    subject, found = UnpackedRecords(packed(data, log=log)), list[tuple[Any, ...]]()
    try:
        while not subject.is_empty:
            found += map(told, subject.take(2))
    except Exception:  # noqa: BLE001 - a crash, or a panic, is none of these
        return found, False
    return found, True


DAMAGE = st.lists(
    st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4
)


def damaged(places: list[tuple[int, int]]) -> bytearray:
    data = bytearray(WHOLE)
    for place, byte in places:
        data[place] = byte
    return data


@given(DAMAGE, st.integers(0, 9))
def test_a_wrong_checksum_is_an_error(places: list[tuple[int, int]], cut: int) -> None:
    data = damaged([one for one in places if one[0] >= ATTRIBUTES_AT])
    found, is_whole = read(bytes(data[: len(data) - cut]), log_of)
    if data != WHOLE or cut:
        assert found == []
        assert is_whole == bool(cut)  # the beginning of a batch is no error: the rest comes later


@given(DAMAGE)
def test_damage_behind_a_right_checksum_gives_what_the_client_reads_or_an_error(
    places: list[tuple[int, int]],
) -> None:
    data = bytes(signed(damaged([one for one in places if one[0] > CRC_AT])))
    found, is_whole = read(data, log_of)
    expected, all_expected = read(data, MemoryRecords)
    if is_whole and all_expected:
        assert found == expected


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_bytes_are_read_or_refused(noise: bytes, kept: int) -> None:
    for data in (noise, bytes(WHOLE[:kept]) + noise, bytes(WHOLE) + noise):
        read(data, log_of)
