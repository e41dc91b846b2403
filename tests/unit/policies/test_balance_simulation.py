"""The pool beside other ways to choose, on virtual time and fixed seeds: no clock is read."""

from collections.abc import Sequence

import pytest

from benchmarks.balance import CAPACITY, workloads
from benchmarks.balance import share_of_capacity as shared
from benchmarks.pool_simulation import CONTENDERS, Outcome, Simulation

CALLS = 4_000
WORKLOADS = workloads(0.45, CALLS)


def run(workload: str, contender: str) -> Outcome:
    return Simulation(WORKLOADS[workload], CONTENDERS[contender], seed=11).run()


@pytest.fixture(scope="module", params=list(WORKLOADS))
def outcomes(request: pytest.FixtureRequest) -> dict[str, Outcome]:
    return {contender: run(request.param, contender) for contender in CONTENDERS}


def test_the_pool_has_the_lowest_p99_or_is_within_5_percent_of_it(
    outcomes: dict[str, Outcome],
) -> None:
    p99 = {name: outcome.p99_seconds() for name, outcome in outcomes.items()}
    assert p99["streamapp"] <= 1.05 * min(p99.values())


def test_every_call_succeeds_and_no_capacity_is_exceeded(outcomes: dict[str, Outcome]) -> None:
    for outcome in outcomes.values():
        assert len(outcome.latencies) == sum(outcome.successes) == CALLS
        assert max(outcome.most_active) <= CAPACITY


@pytest.mark.parametrize("load", [0.7, 0.9])
def test_capacities_of_1_2_and_4_share_the_work_of_a_busy_pool_within_10_percent(
    load: float,
) -> None:
    for ratio in shared(load, 10_000, seeds=[11]).values():
        assert 0.9 <= ratio["median"] <= 1.1


def test_a_slow_member_makes_a_difference_that_the_others_do_not_avoid() -> None:
    """So that the comparison is not empty."""
    ours = run("one slow", "streamapp").p99_seconds()
    others: Sequence[str] = [name for name in CONTENDERS if name != "streamapp"]
    assert all(run("one slow", name).p99_seconds() > 2 * ours for name in others)


def test_a_member_that_recovers_does_its_part_again() -> None:
    workload = workloads(0.45, 12_000)["one that recovers"]
    recovered, *others = Simulation(workload, CONTENDERS["streamapp"], seed=11).run().successes
    assert recovered > 0.3 * sum(others) / len(others)  # of the two thirds that were left to it


def test_a_run_is_the_same_each_time() -> None:
    assert run("half slow", "streamapp") == run("half slow", "streamapp")
