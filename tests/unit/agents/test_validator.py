"""The validator: what passes, what is told of what does not, and that values are never told."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.agents.built import built, faults, refused

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "mail": {"type": "string", "format": "email"},
        "items": {"type": "array", "items": {"type": "object", "required": ["price"]}},
        "code": {"type": "string", "pattern": "^[a-z]+$"},
    },
    "required": ["mail"],
}
PAID = {"path": "paid", "operator": "equals", "value": True}
CHEAP = {"path": "total", "operator": "at_most", "value": 100}
PAYLOAD = "hunter2"


def test_what_fits_passes_as_it_is() -> None:
    agent = built("Validator", {"json_schema": SCHEMA, "rules": [PAID, CHEAP]})
    value = {"mail": "a@example.org", "paid": True, "total": 3, "more": 1}
    assert agent(value) is value


def test_every_fault_is_told_with_its_path() -> None:
    agent = built("Validator", {"json_schema": SCHEMA, "rules": [PAID, CHEAP]})
    told = refused(agent, {"items": [{"price": 1}, {}], "total": "much"})
    assert told.split("; ") == [
        '$: "mail" is a required property',
        '$.items[1]: "price" is a required property',
        "paid is not what it has to be",
        "total is a text, not a number",
    ]


def test_no_value_is_told() -> None:
    rules = [
        {"path": "code", "operator": "matches", "value": "^[0-9]+$"},
        {"path": "code", "operator": "one_of", "value": ["x"]},
        {"path": "code", "operator": "less_than", "value": "a"},
    ]
    agent = built("Validator", {"json_schema": SCHEMA, "rules": rules})
    told = refused(agent, {"mail": PAYLOAD, "code": PAYLOAD, "items": [PAYLOAD]})
    assert PAYLOAD not in told
    assert len(told.split("; ")) == 6


def test_a_schema_cannot_read_files(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("true")
    reference = {"$ref": (tmp_path / "schema.json").as_uri()}
    assert "it is no JSON schema" in faults("Validator", {"json_schema": reference})[0]


def test_no_more_faults_are_told_than_wanted() -> None:
    agent = built("Validator", {"rules": [PAID] * 5, "max_faults": 2})
    assert refused(agent, {}) == "; ".join(
        ["paid is not what it has to be"] * 2 + ["there are more faults"]
    )
    agent = built("Validator", {"rules": [PAID] * 2, "max_faults": 2})
    assert "more" not in refused(agent, {})


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        ({}, "nothing is to be checked; give a 'json_schema', 'rules', or both"),
        ({"json_schema": {"type": "objekt"}}, "json_schema: it is no JSON schema"),
        ({"json_schema": {"pattern": "("}}, "json_schema: it is no JSON schema"),
        ({"json_schema": {"pattern": "(?=a)"}}, "json_schema: it is no JSON schema"),
        ({"json_schema": {"format": "colour"}}, "json_schema: it is no JSON schema"),
        (
            {"json_schema": {"$ref": "https://example.org/schema.json"}},
            "json_schema: it is no JSON schema",
        ),
        ({"json_schema": {"$ref": "file:///etc/passwd"}}, "json_schema: it is no JSON schema"),
        ({"rules": [{**PAID, "path": "a b"}]}, "rules[0].path: 'a b' is no path"),
        ({"rules": [PAID], "max_faults": 0}, "max_faults: should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_told_with_its_path(configuration: dict[str, Any], why: str) -> None:
    assert why in "\n".join(faults("Validator", configuration))
