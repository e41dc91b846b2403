"""`streamapp agents register` and `unregister`."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.commands import FILE, printed, refusal, run, write
from tests.unit.configuration.hostile import AGENT

pytestmark = pytest.mark.usefixtures("folder")

OTHER = {**AGENT, "description": "Another one."}
TWO = {"once": AGENT, "other": OTHER}


def saved() -> Any:
    return json.loads(FILE.read_bytes())


def test_one_definition_is_saved_under_its_id() -> None:
    Path("once.json").write_text(json.dumps({"agent_id": "once", **AGENT}))
    told = printed("agents register once.json")
    assert told["saved"] is True
    assert [(one["agent_id"], one["change"]) for one in told["changes"]] == [("once", "registered")]
    assert saved() == {"data_agents": {"once": AGENT}}


@pytest.mark.parametrize(
    "given",
    [TWO, [{"agent_id": name, **fields} for name, fields in TWO.items()]],
    ids=["object", "array"],
)
def test_several_come_from_standard_input_in_any_order(given: Any) -> None:
    if isinstance(given, list):
        random.Random(1).shuffle(given)
    printed("agents register -", json.dumps(given))
    assert saved()["data_agents"] == TWO


def test_what_agents_list_prints_can_be_registered_elsewhere() -> None:
    write({"data_agents": TWO})
    listed = run("agents list --capability stream_processing").stdout
    own = [one for one in json.loads(listed) if one["agent_id"] in TWO]
    Path("other.json").write_text("{}")
    printed("agents register - --config other.json", json.dumps(own))
    again = printed("agents list --config other.json --capability stream_processing")
    assert again == json.loads(listed)


def test_a_file_that_is_named_and_missing_is_created() -> None:
    told = printed("agents register - --config new.json", json.dumps({"once": AGENT}))
    assert (told["saved"], told["file"]) == (True, "new.json")
    assert json.loads(Path("new.json").read_bytes()) == {"data_agents": {"once": AGENT}}
    assert not FILE.exists()
    pipeline = {"source": "in", "sink": "out", "stages": [{"agent": "batch_processor"}]}
    printed("pipelines save p --config other.json", json.dumps(pipeline))
    assert json.loads(Path("other.json").read_bytes()) == {"data_pipelines": {"p": pipeline}}


def test_a_missing_file_is_not_created_for_nothing() -> None:
    Path("link.json").symlink_to("nowhere.json")
    once = json.dumps({"once": AGENT})
    assert "there is no folder there for there/new.json: create it" in refusal(
        "agents register - --config there/new.json", once
    )
    assert "there is no file link.json" in refusal("agents register - --config link.json", once)
    wrong = json.dumps({"once": {**AGENT, "agent_clas": "X"}})
    assert "there is no such field" in refusal("agents register - --config new.json", wrong)
    assert "there is no file new.json" in refusal("agents unregister once --config new.json")
    assert "there is no file new.json" in refusal("agents list --config new.json")
    assert not any(Path(name).exists() for name in ("new.json", "there", "nowhere.json"))


def test_the_rest_of_the_file_stays_as_it_is() -> None:
    write({"x-owner": "team a", "data_agents": {"zebra": AGENT}, "cli_settings": {}})
    printed("agents register -", json.dumps(TWO))
    assert list(saved()) == ["x-owner", "data_agents", "cli_settings"]
    assert list(saved()["data_agents"]) == ["zebra", "once", "other"]


def test_every_fault_is_told_with_its_place_and_nothing_is_saved() -> None:
    wrong = {"fine": AGENT, "once": {**AGENT, "agent_clas": "X"}, "two": {**AGENT, "version": 2}}
    Path("given.json").write_text(json.dumps(wrong, indent=1))
    told = refusal("agents register given.json").splitlines()
    line = Path("given.json").read_text().splitlines().index('  "agent_clas": "X"') + 1
    assert told[0].startswith(f"given.json:{line}:3: data_agents.once.agent_clas: there is no such")
    assert "data_agents.two.version" in told[1]
    assert len(told) == 2
    assert not FILE.exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{", "standard input:1:2: "),
        ("3", "standard input:1:1: give a definition"),
        ("{}", "standard input:1:1: give a definition"),
        ('[{"agent_class": "A"}]', "standard input:1:2: [0]: the field agent_id is missing"),
        (
            '[{"agent_id": "a"}, {"agent_id": "a"}]',
            "standard input:1:21: [1]: the id 'a' occurs twice",
        ),
        ('{"a": 3}', "standard input:1:2: data_agents.a: give an object"),
    ],
)
def test_what_is_no_definition_is_refused_with_its_place(given: str, expected: str) -> None:
    assert refusal("agents register -", given).startswith(expected)


@pytest.mark.parametrize("agent_id", ["once", "stream_processor"])
def test_an_agent_is_replaced_only_if_that_is_asked_for(agent_id: str) -> None:
    write({"data_agents": {"once": AGENT}})
    given = json.dumps({agent_id: OTHER})
    assert "or give --replace" in refusal("agents register -", given)
    assert saved()["data_agents"] == {"once": AGENT}
    printed("agents register - --replace", given)
    assert saved()["data_agents"][agent_id] == OTHER


def test_an_agent_that_cannot_be_made_is_refused_unless_nothing_is_imported() -> None:
    given = json.dumps({"once": {**AGENT, "configuration": {"window": 60}}})
    assert "data_agents.once.configuration.key: is missing" in refusal("agents register -", given)
    printed("agents register - --no-import", given)


def test_an_agent_of_a_package_that_is_not_allowed_is_refused() -> None:
    given = json.dumps({"own": {**AGENT, "module_path": "os", "agent_class": "system"}})
    assert "start with --allow-package os" in refusal("agents register -", given)
    assert not FILE.exists()


def test_without_auto_save_it_says_what_would_be_saved_and_saves_on_request() -> None:
    content = {"cli_settings": {"auto_save": False}}
    write(content)
    result = run("agents register -", json.dumps(TWO))
    told = json.loads(result.stdout)
    assert told["saved"] is False
    assert [one["definition"] for one in told["changes"]] == [AGENT, OTHER]
    assert "give --save" in result.stderr
    assert saved() == content
    assert printed("agents register - --save", json.dumps(TWO))["saved"] is True
    assert saved()["data_agents"] == TWO


def test_an_agent_in_code_is_registered_with_a_derived_definition(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "shop_prices.py").write_text(
        "from streamapp import Capability, agent\n\n\n"
        "@agent(capabilities=[Capability.DATA_ENRICHMENT])\n"
        "def price(value: dict[str, int]) -> dict[str, int]:\n"
        '    """Add prices."""\n'
        "    return value\n"
    )
    assert "--allow-package shop_prices" in refusal("agents register shop_prices:price")
    monkeypatch.syspath_prepend(str(folder))
    printed("agents register shop_prices:price --id prices --allow-package shop_prices")
    assert saved()["data_agents"]["prices"] == {
        "agent_class": "price",
        "module_path": "shop_prices",
        "capabilities": ["data_enrichment"],
        "input_schema": "dict[str, int]",
        "output_schema": "dict[str, int]",
        "description": "Add prices.",
    }


def test_an_id_is_for_agents_in_code() -> None:
    assert run("agents register once.json --id other").exit_code == 2


def test_agents_are_unregistered() -> None:
    write({"data_agents": {**TWO, "last": AGENT}, "x-owner": 1})
    told = printed("agents unregister other once")
    assert [one["change"] for one in told["changes"]] == ["unregistered", "unregistered"]
    assert saved() == {"data_agents": {"last": AGENT}, "x-owner": 1}


@pytest.mark.parametrize(
    ("agent_id", "expected"),
    [
        ("onec", "did you mean 'once'?"),
        ("stream_processor", "ships with streamapp"),
        ("once", "data_pipelines.orders.stages[0].agent needs this agent; change it first"),
    ],
)
def test_an_agent_is_not_unregistered_if_it_is_unknown_or_needed(
    agent_id: str, expected: str
) -> None:
    stages = [{"agent": "once"}, {"capability": "stream_processing"}]
    content = {
        "data_agents": TWO,
        "data_pipelines": {"orders": {"source": "orders", "stages": stages}},
    }
    write(content)
    assert expected in refusal(f"agents unregister other {agent_id}")
    assert saved() == content
