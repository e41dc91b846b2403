"""Filter and router: which objects pass, and where they go."""

from typing import Any

import pytest

from streamapp.pipeline.out import Out
from tests.unit.agents.built import built, faults, refused

LIVE = {"path": "live", "operator": "equals", "value": True}
LONG = {"path": "ms", "operator": "at_least", "value": 1000}


@pytest.mark.parametrize(
    ("match", "live", "ms", "passes"),
    [
        ("all", True, 1000, True),
        ("all", True, 999, False),
        ("all", False, "of no importance", False),
        ("any", True, "of no importance", True),
        ("any", False, 1000, True),
        ("any", False, 999, False),
    ],
)
def test_a_filter_keeps_what_its_rules_hold_for(
    match: str, live: bool, ms: Any, passes: bool
) -> None:
    value = {"live": live, "ms": ms}
    keeping = {"rules": [LIVE, LONG], "match": match}
    assert built("Filter", keeping)(value) == (value if passes else None)
    dropping = {**keeping, "then": "drop"}
    assert built("Filter", dropping)(value) == (None if passes else value)


def test_a_filter_does_not_drop_what_it_cannot_judge() -> None:
    agent = built("Filter", {"rules": [LONG]})
    assert refused(agent, {"ms": "long"}) == "ms is a text, not a number"


def test_a_filter_without_rules_is_refused() -> None:
    assert faults("Filter", {}) == ["rules: is missing; add it"]
    assert faults("Filter", {"rules": []})[0].startswith("rules: ")


def test_the_first_route_that_takes_an_object_gets_it() -> None:
    routes = [{"to": "live", "rules": [LIVE]}, {"to": "long", "rules": [LONG]}]
    agent = built("Router", {"routes": routes})
    for live, ms, to in ((True, 2000, "live"), (False, 2000, "long"), (False, 1, None)):
        value = {"live": live, "ms": ms}
        assert agent(value) == Out(value, to=to)


def test_what_no_route_takes_goes_on_or_is_dropped_or_is_a_fault() -> None:
    routes = [{"to": "live", "rules": [LIVE]}]
    value = {"live": False}
    assert built("Router", {"routes": routes, "unmatched": "output"})(value) == Out(value)
    assert built("Router", {"routes": routes, "unmatched": "drop"})(value) is None
    failing = built("Router", {"routes": routes, "unmatched": "fail"})
    assert refused(failing, value).startswith("no route takes it")
