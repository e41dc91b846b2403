"""The native leaves cost what their budget says: machine instructions are counted, never timed."""

import os

import pytest

from benchmarks.native_cost import (
    RENEW,
    NotCountedError,
    budget_of,
    compiler,
    measure,
    module_file,
    off_budget,
    read_budget,
)


def test_a_leaf_costs_what_its_budget_says() -> None:
    try:
        budget, cost = budget_of(compiler(module_file()), read_budget()), measure()
    except NotCountedError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    assert off_budget(cost, budget) == [], RENEW


def test_what_differs_from_the_budget_is_told_either_way() -> None:
    budget = {"dearer": 100.0, "cheaper": 100.0, "as said": 100.0, "gone": 100.0}
    found = off_budget({"dearer": 104, "cheaper": 96, "as said": 102, "new": 1}, budget)
    assert [one.split(":")[0] for one in found] == ["cheaper", "dearer", "gone", "new"]


def test_a_budget_of_another_compiler_is_refused_with_what_to_do() -> None:
    with pytest.raises(NotCountedError, match=r"of rustc 2, only of rustc 1, .*--write"):
        budget_of("rustc 2", {"rustc 1": {}})
