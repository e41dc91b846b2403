"""The production runtime holds what it promises on every seed, and the seeds are not empty."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.batch import Batch, run_here
from tests.simulation.faults import Fault
from tests.simulation.simulate import simulate

ROOT = Path(__file__).parents[2]
SEEDS = range(300)
REPLAYED = (3, 58, 211, 1)
STOPS_BEHIND_A_RETRY = 811057
"""It stops at a record while an earlier one waits for its retry for seconds."""
OUTPUTS_FILL = 126434
"""Its records are small, and their outputs take all the bytes that may be in flight."""

pytestmark = [
    pytest.mark.xdist_group("seeds"),  # or each process would run all of them
    pytest.mark.timeout(1200),  # on a slow machine beside other tests, the runs take minutes
]


@pytest.fixture(scope="module")
def batch() -> Batch:
    return run_here(SEEDS)


def test_these_tests_run_in_one_process(request: pytest.FixtureRequest) -> None:
    in_groups = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@seeds") is in_groups


def test_nothing_is_violated(batch: Batch) -> None:
    assert not batch.failed, "replay one with: python -m tests.simulation --seed N"
    assert batch.seeds == len(SEEDS)


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_happens(batch: Batch, fault: Fault) -> None:
    assert batch.fired[fault] >= 10


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        ("commit", 3000),
        ("frontier", 10_000),
        ("output", 10_000),
        ("letter", 1000),
        ("order", 5000),
        ("in flight", 3000),
        ("end", 10_000),
        ("once", 500),
        ("alone", 5000),
        ("done once", 10_000),
        ("not forgotten", 200),
        ("drain", 200),
        ("stop", 50),
        ("commits given up", 10),
        ("replaced", 100),
        ("replay waits", 5),
        ("keyless", 100),
        ("passed over", 20),
        ("times of a letter", 200),
        ("asks for more", 5000),
        ("committed before the end", 1000),
        ("dead end", 30),
        ("blocked", 10),
        ("attempts counted", 10_000),
        ("not held", 1000),
        ("probe", 100),
        ("wait of a probe", 10),
        ("polls while held", 20),
        ("budget", 50),
        ("attempt", 3000),
        ("capacity", 2000),
        ("recovered", 200),
        ("wait for a member", 5),
        ("history", 3000),
        ("waits", 300),
        ("due", 500),
        ("waited", 20),
        ("batch", 1000),
        ("in a batch with others", 300),
    ],
)
def test_every_rule_is_looked_at(batch: Batch, rule: str, least: int) -> None:
    assert batch.checks[rule] >= least


def test_faults_make_repetitions(batch: Batch) -> None:
    assert batch.repeated >= 500
    assert batch.clean >= 5


def test_a_stage_that_stops_may_read_nothing_while_earlier_records_wait() -> None:
    assert not simulate(STOPS_BEHIND_A_RETRY).complaints


def test_outputs_in_flight_make_failing_records_give_way() -> None:
    result = simulate(OUTPUTS_FILL)
    assert not result.complaints
    assert result.fired[Fault.BACKLOG] > 0


@pytest.mark.parametrize("seed", REPLAYED)
def test_a_seed_gives_the_same_trace_in_every_process(seed: int) -> None:
    first, second = (replayed(seed, hash_seed) for hash_seed in ("1", "4242"))
    assert first == second
    assert first.count(b"\n") > 50


def replayed(seed: int, hash_seed: str) -> bytes:
    return subprocess.run(  # noqa: S603 - this project's own command
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
    ).stdout
