"""Definitions: every field of an agent, and every fault with its place in one sentence."""

from typing import Any

import pytest

from streamapp.errors import RegistryError
from streamapp.pipeline.capability import Capability
from streamapp.registry.definition import AgentDefinition, ResourceRequirements, read_definition

DATA: dict[str, Any] = {
    "agent_id": "scorer",
    "name": "Scorer of sessions",
    "agent_class": "Scorer",
    "module_path": "shop.agents",
    "capabilities": ["data_transformation", "data_validation"],
    "input_schema": "Session",
    "output_schema": {"type": "object"},
    "configuration": {"model": "gpt-4o-mini", "temperature": 0.1},
    "resource_requirements": {"memory_mb": 512, "cpu_cores": 1, "storage": "10GB"},
    "version": "1.2",
    "description": "Scores sessions.",
}


def _faults(**changes: Any) -> list[str]:
    with pytest.raises(RegistryError) as raised:
        read_definition({**DATA, **changes}, "data_agents[2]")
    return str(raised.value).splitlines()


def test_a_definition_has_every_field() -> None:
    read = read_definition(DATA)
    assert read.capabilities == (Capability.DATA_TRANSFORMATION, Capability.DATA_VALIDATION)
    assert read.configuration == DATA["configuration"]
    assert read.resource_requirements == ResourceRequirements(
        memory_mb=512, cpu_cores=1, storage=10 * 1024
    )
    assert read.shown_name == "Scorer of sessions"


def test_a_definition_needs_no_more_than_where_its_code_is_and_what_it_takes_and_gives() -> None:
    needed = ("agent_id", "agent_class", "module_path", "input_schema", "output_schema")
    read = read_definition({name: DATA[name] for name in needed})
    assert read.shown_name == "scorer"
    for name in needed:
        with pytest.raises(RegistryError, match=f"^{name}: is missing; add it$"):
            read_definition({one: DATA[one] for one in needed if one != name})


def test_equal_sets_of_capabilities_are_equal() -> None:
    turned = read_definition(
        {**DATA, "capabilities": [*reversed(DATA["capabilities"]), "data_validation"]}
    )
    assert turned == read_definition(DATA)


def test_a_definition_can_be_written_and_read_again() -> None:
    read = read_definition(DATA)
    assert read_definition(read.model_dump(mode="json")) == read


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"capabilities": ["data_validaton"]},
            (
                "data_agents[2].capabilities[0]: 'data_validaton' is no capability;"
                " did you mean 'data_validation'?"
            ),
        ),
        (
            {"agent_clas": "x"},
            "data_agents[2].agent_clas: there is no such field; did you mean 'agent_class'?",
        ),
        (
            {"resource_requirements": {"memory_gb": 1}},
            (
                "data_agents[2].resource_requirements.memory_gb: there is no such field;"
                " did you mean 'memory_mb'?"
            ),
        ),
        (
            {"resource_requirements": {"storage": "10 apples"}},
            (
                "data_agents[2].resource_requirements.storage: give megabytes as a number, or a"
                " number with KB, MB, GB or TB, not '10 apples'"
            ),
        ),
        (
            {"resource_requirements": {"cpu_cores": -1}},
            (
                "data_agents[2].resource_requirements.cpu_cores:"
                " should be greater than or equal to 0, not -1"
            ),
        ),
        (
            {"resource_requirements": 3},
            "data_agents[2].resource_requirements: give an object, {...}, not 3",
        ),
        (
            {"agent_class": "os.system"},
            (
                "data_agents[2].agent_class: give one name without dots or colons, such as"
                " 'Scorer', not 'os.system'"
            ),
        ),
        (
            {"module_path": "../shop"},
            (
                "data_agents[2].module_path: give the dotted name of a module, such as"
                " 'shop.agents', not '../shop'"
            ),
        ),
        (
            {"input_schema": ""},
            "data_agents[2].input_schema: give the name of a schema, or a JSON schema, not ''",
        ),
        (
            {"configuration": [1]},
            "data_agents[2].configuration: give an object, {...}, not [1]",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(changes: dict[str, Any], fault: str) -> None:
    assert _faults(**changes) == [fault]


@pytest.mark.parametrize("agent_id", ["", "a b", "../a", "x" * 201, "-a", 3])
def test_an_id_is_a_name_that_is_safe_everywhere(agent_id: Any) -> None:
    [fault] = _faults(agent_id=agent_id)
    assert fault.startswith("data_agents[2].agent_id: ")
    assert len(fault) < 250


def test_all_faults_are_told_at_once() -> None:
    faults = _faults(capabilities=["nothing", 3], version=1, agent_class=None)
    assert [fault.partition(": ")[0] for fault in faults] == [
        "data_agents[2].agent_class",
        "data_agents[2].capabilities[0]",
        "data_agents[2].capabilities[1]",
        "data_agents[2].version",
    ]


def test_a_definition_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        AgentDefinition.model_validate(DATA).version = "2"  # type: ignore[misc]  # the mistake
