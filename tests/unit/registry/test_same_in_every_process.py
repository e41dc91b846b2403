"""The same definitions give the same answers, whatever the hash seed and the order they came in."""

import os
import subprocess
import sys

import pytest

from tests.documents import ROOT


def _answers(seed: str, order: str, hash_seed: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "tests.unit.registry.answers", seed, order],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("seed", ["1", "2"])
def test_answers_are_the_same_under_two_hash_seeds_and_orders(seed: str) -> None:
    one, other = _answers(seed, "a", "1"), _answers(seed, "b", "4242")
    assert one == other
    assert '"chosen"' in one
    assert '"possible"' in one
