"""A sample of the critical mutants: what the tests killed when all were tried, they kill today."""

import random
import subprocess
import sys

import pytest

from tests.mutation.equivalents import read_reasons
from tests.mutation.mutants import ROOT, mutants
from tests.mutation.report import KILLED
from tests.mutation.rooms import ROOMS
from tests.mutation.sample import SAMPLE_SIZE, sampled


def test_the_kept_result_is_of_mutants_that_exist() -> None:
    names = {
        mutant.name
        for room in ROOMS
        if room.is_critical
        for file in room.files()
        for mutant in mutants(file, (ROOT / file).read_text())
    }
    kept = read_reasons(KILLED).keys()
    assert len(kept & names) >= 0.8 * len(names), "`make mutate` writes the result anew"


@pytest.mark.timeout(280)
def test_a_sample_of_the_critical_mutants_is_killed() -> None:
    """In a process of its own: it forks, which only a process with one thread should do."""
    command = [sys.executable, "-m", "tests.mutation.sample"]
    ended = subprocess.run(  # noqa: S603 - this interpreter, with a module of ours
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{SAMPLE_SIZE} of {SAMPLE_SIZE} are killed" in ended.stdout


def test_a_sample_is_spread_and_the_same_each_time() -> None:
    names = [f"mutant {number}" for number in range(500)]
    once, again = sampled(names, random.Random(8)), sampled(names, random.Random(8))
    assert once == again
    assert len(set(once)) == SAMPLE_SIZE
