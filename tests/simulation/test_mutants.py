"""Every planted bug is found, on seeds that the runtime passes without it."""

import re

import pytest

from tests.simulation.batch import first_found
from tests.simulation.mutants import FIRST, MUTANTS, SECOND
from tests.simulation.test_seeds import SEEDS


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    with MUTANTS[name]():
        found = first_found(SEEDS)
    assert found is not None, f"{name} is not found on {len(SEEDS)} seeds"
    _, complaint = found
    # By a broken promise, and not because the mutant does not fit the code any more.
    assert not re.search(r"(Attribute|Type|Name|Key|Index)Error", complaint), complaint


def test_there_are_as_many_bugs_from_before_as_from_after() -> None:
    assert len(FIRST) >= 7
    assert len(SECOND) >= len(FIRST)
