"""The deduplicator: what passes within its window, and that nothing is lost by it."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.clock import clock_in_use
from streamapp.errors import Permanent
from streamapp.pipeline.context import Context
from streamapp.record import StoredRecord
from tests.hand_clock import HandClock
from tests.unit.agents.built import built, faults


def _context(offset: int, attempt: int = 1, partition: int = 0) -> Context:
    record = StoredRecord(offset, 0, None, b"")
    return Context(topic="in", partition=partition, record=record, attempt=attempt)


def _passes(agent: Any, value: dict[str, Any], context: Context) -> bool:
    return agent(value, context) is value


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=30),
    st.integers(1, 4),
    st.integers(1, 10),
)
def test_a_key_passes_once_within_the_window(
    steps: Sequence[tuple[int, int]], max_keys: int, window: int
) -> None:
    agent = built("Deduplicator", {"key": "k", "window_seconds": window, "max_keys": max_keys})
    clock = HandClock()
    passed: list[tuple[int, float]] = []  # those that passed, the youngest last
    with clock_in_use(clock):
        for offset, (key, seconds) in enumerate(steps):
            clock.advance(seconds)
            now = clock.monotonic()
            known = [k for k, then in passed[-max_keys:] if now - then < window]
            assert _passes(agent, {"k": key}, _context(offset)) is (key not in known)
            if key not in known:
                passed = [(k, then) for k, then in passed if k != key] + [(key, now)]


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (1, True), ("true", True), ("a", "A")])
def test_keys_of_two_kinds_are_two_keys(one: Any, other: Any) -> None:
    agent = built("Deduplicator", {"key": "k"})
    assert _passes(agent, {"k": one}, _context(0))
    assert _passes(agent, {"k": other}, _context(1))
    assert not _passes(agent, {"k": one}, _context(2))


def test_long_keys_are_told_apart() -> None:
    agent = built("Deduplicator", {"key": "k"})
    long = "x" * 10_000
    assert _passes(agent, {"k": long + "a"}, _context(0))
    assert _passes(agent, {"k": long + "b"}, _context(1))
    assert not _passes(agent, {"k": long + "a"}, _context(2))


def test_a_record_that_comes_again_passes_since_its_output_may_be_lost() -> None:
    agent = built("Deduplicator", {"key": "k"})
    value = {"k": 1}
    assert _passes(agent, value, _context(7))
    assert not _passes(agent, value, _context(8))
    assert _passes(agent, value, _context(7)), "delivered again"
    assert _passes(agent, value, _context(7, attempt=2)), "tried again"
    assert _passes(agent, value, _context(0, attempt=2)), "tried again from a retry topic"
    assert not _passes(agent, value, _context(7, partition=1))
    assert not _passes(agent, value, _context(8)), "the duplicate is one for good"


def test_in_process_duplicates_are_dropped_too() -> None:
    agent = built("Deduplicator", {"key": "k"})
    value = {"k": 1}
    assert _passes(agent, value, Context())
    assert not _passes(agent, value, Context())
    assert _passes(agent, value, Context(attempt=2))


def test_an_object_without_a_key_is_at_fault_or_passes() -> None:
    agent = built("Deduplicator", {"key": "k"})
    for value in ({}, {"k": None}):
        with pytest.raises(Permanent, match=r"^k: the key is missing$"):
            agent(value, _context(0))
    with pytest.raises(Permanent, match=r"^k: a list is no key$"):
        agent({"k": []}, _context(0))
    agent = built("Deduplicator", {"key": "k", "without_key": "pass_on"})
    assert _passes(agent, {}, _context(0))
    assert _passes(agent, {}, _context(1))


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"key": "k[*]"}, "key: 'k[*]' may find several values; give a path to one"),
        ({"window_seconds": 0}, "window_seconds: should be greater than 0"),
        ({"max_keys": 0}, "max_keys: should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_told_with_its_path(setting: dict[str, Any], why: str) -> None:
    assert faults("Deduplicator", {"key": "k", **setting})[0].startswith(why)
