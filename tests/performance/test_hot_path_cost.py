"""The hot path costs no more than its budget: counted on time that stands still, never timed."""

import logging
import os
from collections.abc import Callable

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
from streamapp.runtime.outbox import Outbox
from streamapp.runtime.work import Work

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


def nothing(_work: Work) -> None:
    pass


def a_line_of_log_that_is_turned_off(work: Work) -> None:
    logging.getLogger("streamapp.hot").debug("record %d has ended", work.record.offset)


ENDED = Counter("hot_path_cost_ended", "For this test.", ["partition"], registry=None)


def a_labelled_metric(work: Work) -> None:
    ENDED.labels(work.record.partition).inc()


@pytest.mark.parametrize(
    ("added", "is_seen"),
    [(nothing, False), (a_line_of_log_that_is_turned_off, True), (a_labelled_metric, True)],
)
def test_more_work_for_each_record_is_over_the_budget(
    added: Callable[[Work], None],
    is_seen: bool,
    budget: dict[str, Cost],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Outbox.add

    def add(self: Outbox, work: Work) -> None:
        added(work)
        original(self, work)

    monkeypatch.setattr(Outbox, "add", add)
    cost = budget["sync"] | {"instructions": count_instructions_of_a_record("sync")}
    assert bool(over_budget(cost, budget["sync"])) is is_seen
