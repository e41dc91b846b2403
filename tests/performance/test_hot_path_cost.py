"""The hot path costs no more than its budget: counted on time that stands still, never timed."""

import logging
import os
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import Counter

from benchmarks.hot_path_cost import (
    BUDGET,
    VERSION,
    Cost,
    count_instructions_of_a_record,
    measure,
    over_budget,
    read_budget,
)
from benchmarks.streamapp_stage import AGENTS
from streamapp.brokers.topic_batches import OpenBatches
from streamapp.record import Record
from streamapp.runtime.encoding import Outlet, Writer

RENEW = "`python -m benchmarks.hot_path_cost --write` renews the budget"


@pytest.fixture
def budget() -> dict[str, Cost]:
    budgets = read_budget()
    if VERSION not in budgets:
        missing = f"{BUDGET.name} has none for Python {VERSION}; {RENEW}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return budgets[VERSION]


@pytest.mark.parametrize("mode", AGENTS)
def test_a_record_costs_no_more_than_its_budget(mode: str, budget: dict[str, Cost]) -> None:
    assert over_budget(measure(mode), budget[mode]) == [], RENEW


def nothing(_key: bytes | None) -> None:
    pass


LOG = logging.getLogger("streamapp.hot_path_cost")
ENDED = Counter("hot_path_cost_ended", "For this test.", ["first"], registry=None)


def a_line_of_log_that_is_turned_off(key: bytes | None) -> None:
    LOG.debug("%r has ended", key)


def a_labelled_metric(key: bytes | None) -> None:
    ENDED.labels((key or b"")[:1]).inc()


def instructions_with(added: Callable[[bytes | None], None]) -> float:
    """Instructions for each record when each record's output does this as well."""
    original = Outlet.writer

    def writer(self: Outlet, batches: OpenBatches) -> Writer:
        made = original(self, batches)

        def write(value: Any, record: Record) -> None:
            added(record.key)
            made.write(value, record)

        return made._replace(write=write)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outlet, "writer", writer)
        return count_instructions_of_a_record("sync")


@pytest.mark.parametrize("added", [a_line_of_log_that_is_turned_off, a_labelled_metric])
def test_more_work_for_each_record_is_over_the_budget(
    added: Callable[[bytes | None], None],
) -> None:
    budget = {"instructions": instructions_with(nothing)}
    cost = {"instructions": instructions_with(added)}
    assert over_budget(cost, budget)
