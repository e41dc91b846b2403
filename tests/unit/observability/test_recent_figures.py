"""What a stage did lately, from samples of its counters."""

import asyncio

from streamapp.clock import clock_in_use
from streamapp.observability.letter_kinds import MOST_KINDS, LetterKinds
from streamapp.observability.loop_blocks import LATELY_SECONDS, LoopBlock, LoopBlocks
from streamapp.observability.recent import (
    KEPT_SECONDS,
    SAMPLE_SECONDS,
    RecentWatch,
    acknowledged_rates,
)
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.observability.verdict import notice_findings
from tests.hand_clock import HandClock


def stage(name: str = "check", *, fused_to: str | None = None) -> StageMetrics:
    return StageMetrics("orders", name, "raw", fused_to=fused_to)


def test_nothing_is_known_without_a_sample_or_too_soon_after_it() -> None:
    metrics = stage()
    assert metrics.recent.change(metrics, 10.0) is None
    metrics.recent.sample(metrics, 10.0)
    assert metrics.recent.change(metrics, 11.0) is None
    assert metrics.recent.change(metrics, 12.0) is not None


def test_a_window_has_what_came_within_it_and_nothing_before() -> None:
    metrics = stage()
    for second in range(0, 600, 5):
        metrics.processed = metrics.acknowledged_records = second * second
        metrics.recent.sample(metrics, float(second))
    metrics.processed = metrics.acknowledged_records = 600 * 600
    change = metrics.recent.change(metrics, 600.0)
    assert change is not None
    assert (change.seconds, change.acknowledged) == (60.0, 600 * 600 - 540 * 540)
    longest = metrics.recent.change(metrics, 600.0, 10_000.0)
    assert longest is not None
    assert longest.seconds <= KEPT_SECONDS + SAMPLE_SECONDS


def test_quantiles_are_those_of_the_window() -> None:
    metrics = stage()
    for _ in range(1000):
        metrics.attempt_duration.observe(1_000_000)  # slow, before the window
    metrics.recent.sample(metrics, 0.0)
    for _ in range(10):
        metrics.attempt_duration.observe(100)
    change = metrics.recent.change(metrics, 10.0)
    assert change is not None
    assert change.p99_seconds is not None
    assert change.p99_seconds < 0.001
    assert change.attempts == 10


def test_only_what_was_acknowledged_counts_in_a_rate_of_fused_stages_too() -> None:
    head, tail, other = stage(), stage("count", fused_to="check"), stage("other")
    for one in (head, tail):
        one.recent.sample(one, 0.0)
    head.processed, head.acknowledged_records, tail.processed = 1000, 100, 2000
    assert acknowledged_rates([head, tail, other], 10.0) == [10.0, 20.0, None]


async def test_the_watch_takes_samples_until_it_is_cancelled() -> None:
    clock = HandClock()
    metrics = [stage(str(number)) for number in range(120)]
    with clock_in_use(clock):
        task = asyncio.create_task(RecentWatch(metrics, clock, notice_findings).run())
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
    clock.advance(5)
    assert all(one.recent.change(one, clock.monotonic()) for one in metrics)


def test_kinds_of_dead_letters_are_counted_the_latest_kinds_only() -> None:
    kinds = LetterKinds()
    for number in range(MOST_KINDS + 5):
        kinds.count(str(number), "ValueError", "permanent", float(number))
    kinds.count("20", "ValueError", "permanent", 100.0)
    found = kinds.list()
    assert len(found) == MOST_KINDS
    assert (found[0].fingerprint, found[0].count, found[0].first_at) == ("20", 2, 20.0)
    assert "0" not in {kind.fingerprint for kind in found}


def test_the_most_frequent_kind_is_that_of_the_last_minute() -> None:
    kinds = LetterKinds()
    for _ in range(100):
        kinds.count("old", "ValueError", "permanent", 0.0)
    for number in range(10):
        kinds.count("new", "KeyError", "permanent", 100.0 + number)
    most = kinds.most_lately()
    assert most is not None
    assert (most[0].fingerprint, most[1]) == ("new", 10)


def test_a_block_of_the_loop_is_grave_for_a_minute_if_it_was_long() -> None:
    blocks = LoopBlocks()
    blocks.add(LoopBlock(10.0, 1.0, "a.py:1 in f"))
    assert blocks.grave_block(11.0) is None
    blocks.add(LoopBlock(20.0, 3.0, "a.py:1 in f"))
    assert blocks.grave_block(23.0 + LATELY_SECONDS) is not None
    assert blocks.grave_block(23.1 + LATELY_SECONDS) is None


def test_after_a_clock_was_set_back_the_kind_that_comes_now_is_told() -> None:
    kinds = LetterKinds()
    for number in range(20):
        kinds.count("old", "KeyError", "failed", 10_000 + number)
        kinds.count("both", "ValueError", "failed", 10_000 + number)
    for number in range(12):
        kinds.count("both", "ValueError", "failed", 6_000 + number)
    most = kinds.most_lately()
    assert most is not None
    assert (most[0].fingerprint, most[0].count, most[1]) == ("both", 32, 12)
