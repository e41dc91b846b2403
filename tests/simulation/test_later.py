"""Retry topics hold what they promise on every seed, and the seeds find each planted bug."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from streamapp.record import Headers, Record
from streamapp.runtime import due_times, retry_later, retry_records
from streamapp.runtime.due_times import DueTimes
from streamapp.runtime.failures import FailureHandler
from streamapp.runtime.outbox import Outbox
from streamapp.runtime.partition import Partition
from streamapp.runtime.work import RetriedWork
from tests.simulation.later import Result, simulate_later
from tests.simulation.planting import replaced

SEEDS = range(60)

pytestmark = pytest.mark.xdist_group("later")


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [simulate_later(seed) for seed in SEEDS]


def test_nothing_is_violated(results: list[Result]) -> None:
    failed = {
        seed: result.complaints[0] for seed, result in enumerate(results) if result.complaints
    }
    assert not failed


def test_the_seeds_are_not_empty(results: list[Result]) -> None:
    checks = sum((result.checks for result in results), Counter[str]())
    faults = sum((result.faults for result in results), Counter[str]())
    assert min(checks[rule] for rule in ("end", "due", "origin")) >= 500
    assert min(faults[kind] for kind in ("join", "leave", "kill", "batch", "commits")) >= 20


def a_retry_topic_skips_its_head() -> AbstractContextManager[None]:
    """The record that is waited for is passed over when those behind it are due."""

    def wait_for(
        waits: DueTimes, partition: Partition, record: Record, _wait: float, _delay: float
    ) -> None:
        waits._assignment.consumer.seek(partition.name, record.offset + 1)

    return replaced(DueTimes, "_wait_for", wait_for)


def records_come_back_early() -> AbstractContextManager[None]:
    def due_at(record: Record, delay_seconds: float) -> float:
        return retry_records.due_at(record, delay_seconds) - delay_seconds / 2

    return replaced(due_times, "due_at", due_at)


def a_pause_is_never_lifted() -> AbstractContextManager[None]:
    return replaced(DueTimes, "resume_due", lambda _waits: None)


def a_moved_record_is_finished_before_it_is_acknowledged() -> AbstractContextManager[None]:
    original = Outbox._send

    async def send(outbox: Outbox, flush: object) -> None:
        outbox._on_finished(flush)  # type: ignore[arg-type]  # a flush, whatever it is called here
        flush.shares = {}  # type: ignore[attr-defined]  # the same
        await original(outbox, flush)  # type: ignore[arg-type]  # the same

    return replaced(Outbox, "_send", send)


@contextmanager
def attempts_are_counted_anew_after_a_delay() -> Iterator[None]:
    original = RetriedWork.__init__

    def init(work: RetriedWork, *arguments: object) -> None:
        original(work, *arguments)  # type: ignore[arg-type]  # passed on as they are
        work.failures = 0

    with (
        replaced(RetriedWork, "__init__", init),
        replaced(RetriedWork, "failures_before", lambda _work, _step: 0),
    ):
        yield


def the_origin_is_the_retry_topic() -> AbstractContextManager[None]:
    return replaced(
        RetriedWork, "origin", property(lambda work: (work.partition.name, work.record))
    )


def headers_pile_up() -> AbstractContextManager[None]:
    def retry_headers(headers: Headers, facts: Headers, **times: Any) -> Headers:
        return retry_records.retry_headers([*headers, ("again", b"1")], facts, **times)

    return replaced(retry_later, "retry_headers", retry_headers)


def a_delay_loses_its_record() -> AbstractContextManager[None]:
    return replaced(FailureHandler, "_retry_later", lambda *_: True)


BUGS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    bug.__name__: bug
    for bug in (
        a_retry_topic_skips_its_head,
        records_come_back_early,
        a_pause_is_never_lifted,
        a_moved_record_is_finished_before_it_is_acknowledged,
        attempts_are_counted_anew_after_a_delay,
        the_origin_is_the_retry_topic,
        headers_pile_up,
        a_delay_loses_its_record,
    )
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_found(bug: Callable[[], AbstractContextManager[None]]) -> None:
    with bug():
        assert any(simulate_later(seed).complaints for seed in SEEDS)


def test_a_seed_is_always_the_same() -> None:
    first, second = simulate_later(5), simulate_later(5)
    assert (first.checks, first.faults) == (second.checks, second.faults)
