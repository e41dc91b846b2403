"""Parts of a composition are compared by the schemas that they declare."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import ConfigurationFile, read_configuration
from streamapp.configuration.lint import lint
from streamapp.errors import ConfigurationError
from streamapp.testing import PipelineDriver
from tests.unit.configuration.hostile import AGENT

Json = dict[str, Any]


def fields(*, closed: bool = False, **properties: Any) -> Json:
    """A schema of objects with these fields, all required."""
    found: Json = {"type": "object", "properties": properties, "required": list(properties)}
    return {**found, "additionalProperties": False} if closed else found


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
EVENT = fields(session_id=TEXT)
TITLED = fields(session_id=TEXT, title=TEXT)
COUNTED = fields(session_id=NUMBER)
STALL = fields(closed=True, kind={"const": "stall"}, seconds=NUMBER)
ERROR = fields(closed=True, kind={"const": "error"}, code=NUMBER)
EITHER = {"anyOf": [STALL, ERROR]}


def agent(takes: Any, gives: Any) -> Json:
    return {
        **AGENT,
        "agent_class": "FieldMapper",
        "module_path": "streamapp.agents.field_mapper",
        "capabilities": ["data_transformation"],
        "input_schema": takes,
        "output_schema": gives,
        "configuration": {"fields": {"seen": {"value": True}}},
    }


def written(
    folder: Path, agents: Mapping[str, tuple[Any, Any]], composition: Any, **more: Any
) -> ConfigurationFile:
    path = folder / "config.json"
    stage = {"agent": composition, "name": "s", **more.pop("stage", {})}
    declared = {"source": "in", "sink": "out", "stages": [stage], **more}
    data = {
        "data_agents": {name: agent(*ends) for name, ends in agents.items()},
        "data_pipelines": {"p": declared},
    }
    path.write_text(json.dumps(data, indent=1))
    return read_configuration(path, {})


def faults(file: ConfigurationFile) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        lint(file)
    return str(refused.value).splitlines()


WHERE = "data_pipelines.p.stages[0].agent"


def test_an_output_has_to_fit_the_input_of_the_next_in_a_chain(tmp_path: Path) -> None:
    agents = {"a": (EVENT, EVENT), "b": (TITLED, TITLED), "c": (COUNTED, COUNTED)}
    file = written(tmp_path, agents, {"chain": ["a", "b", "c"]})
    told = faults(file)
    assert len(told) == 2
    assert told[0].endswith(
        f"{WHERE}.chain[1]: 'b' does not take what 'a' gives: no: 'title' is required, and may be"
        " left out"
    )
    assert told[1].endswith(
        f"{WHERE}.chain[2]: 'c' does not take what 'b' gives: no: 'session_id' may be string, and"
        " has to be integer"
    )
    line = next(
        number
        for number, text in enumerate(file.document.text.splitlines(), 1)
        if text.strip().startswith('"b"') and "{" not in text
    )
    assert told[0].startswith(f"{file.path}:{line}:")
    with pytest.raises(ConfigurationError, match="'b' does not take what 'a' gives"):
        assemble_declared(file.configuration, "p")


def test_a_chain_whose_parts_fit_runs(tmp_path: Path) -> None:
    agents = {"a": (EVENT, TITLED), "b": (EVENT, EVENT)}
    file = written(tmp_path, agents, {"chain": ["a", "b"]})
    assert lint(file) == ()
    made = assemble_declared(file.configuration, "p").pipeline
    outputs = PipelineDriver(made).run([{"session_id": "s"}]).outputs
    assert outputs == [{"session_id": "s", "seen": True}]


@pytest.mark.parametrize(
    "composition",
    [
        {"fallback": ["a", "b"]},
        {"pool": ["a", "b"], "capacity": 2},
        {"parallel": {"x": "a", "y": "b"}},
        {
            "choose": [
                {
                    "when": {"rules": [{"path": "n", "operator": "exists"}]},
                    "agent": {"parallel": {"x": "a", "y": {"branch": "b"}}},
                }
            ],
            "otherwise": "a",
        },
    ],
)
def test_parts_that_no_value_fits_are_refused(tmp_path: Path, composition: Any) -> None:
    agents = {"a": (EVENT, EVENT), "b": (COUNTED, EVENT)}
    told = faults(written(tmp_path, agents, composition))
    wanted = (
        "no value fits both 'a' and 'b', which are given the same: 'session_id' has to be string"
        " for the one, and integer for the other"
    )
    assert any(wanted in one for one in told)


def test_a_field_that_one_part_needs_and_another_forbids_is_named(tmp_path: Path) -> None:
    inner = fields(at=fields(closed=True, x=TEXT))
    agents = {"a": (inner, EVENT), "b": (fields(at=fields(y=TEXT)), EVENT)}
    told = faults(written(tmp_path, agents, {"fallback": ["a", "b"]}))
    assert "'at.y' has to be left out for the one, and string for the other" in told[0]


@pytest.mark.parametrize(
    "composition",
    [
        {"fallback": ["a", "b"]},
        {"pool": ["b", "a"], "capacity": 2},
        {"parallel": {"x": "a", "y": "b"}},
    ],
)
def test_what_comes_before_has_to_fit_every_part(tmp_path: Path, composition: Any) -> None:
    agents = {"a": (EVENT, EVENT), "b": (fields(title=TEXT), EVENT), "first": (EVENT, EVENT)}
    stages = [{"agent": "first"}, {"agent": composition, "name": "s"}]
    told = faults(written(tmp_path, agents, "a", stages=stages))
    place = WHERE.replace("[0]", "[1]")
    assert place in told[0]
    assert "'b' does not take what 'first' gives: no: 'title' is required" in told[0]
    source = {"topic": "in", "schema": EVENT}
    told = faults(written(tmp_path, agents, composition, source=source))
    assert "'b' does not take what 'in' has: no: 'title' is required" in told[0]


def test_members_of_a_pool_give_what_the_widest_gives(tmp_path: Path) -> None:
    agents = {"a": (EVENT, TITLED), "b": (EVENT, EVENT), "c": (EVENT, COUNTED)}
    narrow, wide = ({"pool": ["a", one], "capacity": 2} for one in ("b", "c"))
    assert lint(written(tmp_path, agents, narrow)) == ()
    told = faults(written(tmp_path, agents, wide))
    assert f"{WHERE}: its members do not give the same: what 'c' gives is not what 'a'" in told[0]
    assert ": no: " in told[0]


def test_who_takes_over_gives_what_the_first_gives(tmp_path: Path) -> None:
    agents = {"a": (EVENT, TITLED), "b": (EVENT, EVENT)}
    assert lint(written(tmp_path, agents, {"fallback": ["b", "a"]})) == ()
    told = faults(written(tmp_path, agents, {"fallback": ["a", "b"]}))
    assert told[0].endswith(
        f"{WHERE}.fallback[1]: what 'b' gives is not what 'a' gives: no: 'title' is required, and"
        " may be left out"
    )


def test_a_default_takes_the_place_of_an_output(tmp_path: Path) -> None:
    agents = {"a": (EVENT, EVENT), "b": (EVENT, EVENT)}
    for default, is_fit in (({"session_id": "none"}, True), ({"id": "none"}, False)):
        branch = {"branch": "a", "default": default}
        file = written(tmp_path, agents, {"chain": [branch, "b"]})
        if is_fit:
            assert lint(file) == ()
        else:
            assert "'b' does not take the default: no: " in faults(file)[0]


def test_an_object_of_outputs_has_the_schemas_of_its_branches(tmp_path: Path) -> None:
    both = fields(x=EVENT, y=TITLED)
    agents = {"a": (EVENT, EVENT), "b": (EVENT, TITLED), "c": (both, EVENT)}
    for parts, is_fit in (({"x": "a", "y": "b"}, True), ({"x": "a", "y": "a"}, False)):
        file = written(tmp_path, agents, {"chain": [{"parallel": parts}, "c"]})
        if is_fit:
            assert lint(file) == ()
        else:
            assert "'y.title' is required, and may be left out" in faults(file)[0]


def test_an_object_of_outputs_has_no_other_fields_unless_it_is_joined_with_the_input(
    tmp_path: Path,
) -> None:
    agents = {"a": (EVENT, EVENT), "c": (fields(closed=True, x=EVENT, y=EVENT), EVENT)}
    parts = {"parallel": {"x": "a", "y": "a"}}
    assert lint(written(tmp_path, agents, {"chain": [parts, "c"]})) == ()
    told = lint(written(tmp_path, agents, {"chain": [{**parts, "join": "input"}, "c"]}))
    assert "whether 'c' takes what parallel(a, a) gives is not known" in told[0]


def test_a_declared_output_is_compared_with_what_the_parts_give(tmp_path: Path) -> None:
    agents = {"a": (EVENT, EVENT), "b": (EVENT, TITLED)}
    said: dict[str, tuple[Any, str]] = {
        "the same": (EVENT, ""),
        "more than the parts say": (fields(session_id=TEXT, seen={"type": "boolean"}), ""),
        "other": (COUNTED, "'session_id' may be string, and has to be integer"),
    }
    for schema, fault in said.values():
        composition = {"chain": ["b", "a"], "output_schema": schema}
        file = written(tmp_path, agents, composition)
        if not fault:
            assert lint(file) == ()
        else:
            assert f"{WHERE}.output_schema: what 'a' gives is not " in faults(file)[0]
            assert fault in faults(file)[0]


def when(kind: str) -> Json:
    return {"rules": [{"path": "kind", "operator": "equals", "value": kind}]}


def choice(*cases: tuple[Json, str], otherwise: str) -> Json:
    return {
        "choose": [{"when": rules, "agent": name} for rules, name in cases],
        "otherwise": otherwise,
    }


VARIANTS = {"stalls": (STALL, EVENT), "errors": (ERROR, EVENT), "first": (EITHER, EITHER)}


def test_cases_take_what_their_rules_let_through(tmp_path: Path) -> None:
    for composition in (
        choice((when("stall"), "stalls"), otherwise="errors"),
        choice((when("error"), "errors"), (when("stall"), "stalls"), otherwise="stalls"),
    ):
        stages = [{"agent": "first"}, {"agent": composition, "name": "s"}]
        assert lint(written(tmp_path, VARIANTS, "first", stages=stages)) == ()


def test_a_case_that_takes_nothing_of_what_its_rules_let_through_is_refused(tmp_path: Path) -> None:
    composition = choice((when("stall"), "errors"), otherwise="first")
    stages = [{"agent": "first"}, {"agent": composition, "name": "s"}]
    told = faults(written(tmp_path, VARIANTS, "first", stages=stages))
    assert len(told) == 1
    assert "stages[1].agent.choose[0].agent: 'errors' does not take what 'first' gives" in told[0]


def test_what_rules_let_through_is_unknown_where_no_schema_can_say_it(tmp_path: Path) -> None:
    rules = {"rules": [{"path": "kind", "operator": "matches", "value": "^st"}]}
    composition = choice((rules, "stalls"), otherwise="errors")
    stages = [{"agent": "first"}, {"agent": composition, "name": "s"}]
    told = lint(written(tmp_path, VARIANTS, "first", stages=stages))
    assert len(told) == 2
    assert "whether 'stalls' takes what 'first' gives is not known: unknown: " in told[0]
    assert "choose[0].agent: " in told[0]


def test_names_that_are_not_bound_fit_only_themselves(tmp_path: Path) -> None:
    agents = {"a": ("Raw", "Event"), "b": ("Event", "Event"), "c": ("Other", "Other")}
    assert lint(written(tmp_path, agents, {"chain": ["a", "b"]})) == ()
    told = lint(written(tmp_path, agents, {"chain": ["a", "c"]}))
    assert len(told) == 1
    assert "chain[1]: whether 'c' takes what 'a' gives is not known: unknown: nothing is" in told[0]


@pytest.mark.parametrize(
    "own",
    [
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"$id": "https://schemas.example/event"},
        {"$anchor": "event"},
    ],
)
def test_schemas_with_an_address_or_a_draft_of_their_own_are_not_joined(
    tmp_path: Path, own: Json
) -> None:
    agents = {"a": (EVENT, EVENT), "b": ({**own, **COUNTED}, EVENT)}
    file = written(tmp_path, agents, {"fallback": ["a", "b"]})
    lint(file)
    assert assemble_declared(file.configuration, "p").members == (("a", "b"),)


def test_all_faults_of_a_composition_are_told_at_once(tmp_path: Path) -> None:
    agents = {"a": (EVENT, EVENT), "b": (TITLED, TITLED)}
    wrong = {"agent": "a", "configuration": {"fields": {}, "typo": 1}}
    more = {"agent": "b", "configuration": {"feilds": {}}}
    file = written(tmp_path, agents, {"chain": [wrong, more, {"fallback": ["b", "a"]}]})
    told = "\n".join(faults(file))
    for part in (
        "typo",
        "feilds",
        "chain[1]: ",
        "'b' does not take what 'a' gives",
        "fallback[1]: ",
    ):
        assert part in told


def test_a_composition_has_the_schema_that_its_parts_agree_on(tmp_path: Path) -> None:
    agents = {"a": (EVENT, TITLED), "b": (TITLED, EVENT), "c": (EVENT, EVENT)}
    pool = {"pool": ["a", "b"], "capacity": 2}
    stages = [{"agent": pool, "name": "s"}, {"agent": "c"}]
    file = written(tmp_path, agents, pool, stages=stages)
    entry = assemble_declared(file.configuration, "p").choice.entries[0]
    schemas = registry_of(file.configuration).schemas
    assert entry.input_.json_schema == schemas.of(TITLED).json_schema
    assert entry.output.json_schema == schemas.of(EVENT).json_schema
