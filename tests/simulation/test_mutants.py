"""Every planted bug is found, on seeds that the runtime passes without it."""

import pytest

from tests.simulation.batch import first_found
from tests.simulation.mutants import FIRST, MUTANTS, SECOND
from tests.simulation.test_seeds import SEEDS


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    with MUTANTS[name]():
        assert first_found(SEEDS) is not None, f"{name} is not found on {len(SEEDS)} seeds"


def test_there_are_as_many_bugs_from_before_as_from_after() -> None:
    assert len(FIRST) >= 7
    assert len(SECOND) >= len(FIRST)
