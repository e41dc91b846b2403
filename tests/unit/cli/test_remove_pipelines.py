"""`streamapp pipelines remove`."""

import json
from typing import Any

import pytest

from tests.unit.cli.commands import FILE, printed, refusal, run, write
from tests.unit.configuration.hostile import AGENT

pytestmark = pytest.mark.usefixtures("folder")

STAGE = {"agent": "once", "name": "last"}


def pipeline(source: Any, **fields: Any) -> dict[str, Any]:
    return {"source": source, "stages": [STAGE], **fields}


def content(**pipelines: Any) -> dict[str, Any]:
    return {
        "x-owner": {"team": "a"},
        "data_pipelines": pipelines,
        "data_agents": {"once": AGENT},
        "x-last": 1,
    }


def saved() -> Any:
    return json.loads(FILE.read_bytes())


def test_pipelines_are_removed_and_all_else_stays_as_it_was_and_where_it_was() -> None:
    some = {name: pipeline(name) for name in ("d", "a", "c", "b")}
    write(content(**some))
    told = printed("pipelines remove a b")
    assert told["saved"] is True
    assert told["changes"] == [{"name": one, "change": "removed"} for one in "ab"]
    left = content(d=some["d"], c=some["c"])
    assert saved() == left
    assert list(saved()) == list(left)
    assert list(saved()["data_pipelines"]) == ["d", "c"]
    assert "c         removed  atomic_data_config.json" in (
        run("pipelines remove c --output table").stdout
    )


def test_where_changes_are_not_saved_by_themselves_it_is_only_told() -> None:
    settings = {"cli_settings": {"auto_save": False}}
    write({**content(a=pipeline("a")), **settings})
    told = run("pipelines remove a")
    assert "is as it was, since cli_settings.auto_save is false" in told.stderr
    assert "a" in saved()["data_pipelines"]
    assert printed("pipelines remove a --save")["saved"] is True
    assert saved()["data_pipelines"] == {}


READERS = {
    "the sink": ({"sink": "a.out"}, "a.out"),
    "the sink with a schema": ({"sink": {"topic": "a.out"}}, "a.out"),
    "the output of a stage": ({"stages": [{**STAGE, "output": "a.mid"}]}, "a.mid"),
    "a route": ({"stages": [{**STAGE, "routes": {"odd": "a.odd"}}]}, "a.odd"),
    "dead letters": ({"stages": [{**STAGE, "dead_letters": "bad"}]}, "bad"),
    "dead letters of its own": ({}, "a.last.dlq"),
}


@pytest.mark.parametrize(("fields", "topic"), READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize(
    ("source", "place"),
    [
        (lambda topic: topic, "source"),
        (lambda topic: {"topic": topic}, "source.topic"),
        (lambda topic: ["x", {"topic": topic}], "source[1].topic"),
    ],
    ids=["name", "object", "list"],
)
def test_a_pipeline_whose_topics_another_one_reads_is_not_removed(
    fields: dict[str, Any], topic: str, source: Any, place: str
) -> None:
    before = content(a=pipeline("a", **fields), b=pipeline(source(topic)))
    write(before)
    told = refusal("pipelines remove a")
    assert told.startswith("atomic_data_config.json:1:")
    assert told.endswith(
        f"data_pipelines.b.{place}: it reads {topic!r}, which only 'a' writes; remove it too, or"
        " give --yes"
    )
    assert saved() == before
    assert run("pipelines remove a --yes").exit_code == 0
    assert list(saved()["data_pipelines"]) == ["b"]


def test_it_is_removed_together_with_its_reader_or_beside_another_writer() -> None:
    write(content(a=pipeline("a", sink="out"), b=pipeline("out"), c=pipeline("c", sink="out")))
    assert run("pipelines remove a").exit_code == 0
    assert "which only 'c' writes" in refusal("pipelines remove c")
    assert run("pipelines remove c b").exit_code == 0
    assert saved()["data_pipelines"] == {}


def test_a_pipeline_of_a_bundle_is_removed_and_the_others_stay_in_it() -> None:
    bundled = {name: pipeline(name, bundle="small") for name in "ab"}
    write(content(**bundled))
    assert run("pipelines remove a").exit_code == 0
    assert saved()["data_pipelines"] == {"b": bundled["b"]}


def test_what_is_not_there_is_told_and_nothing_is_removed() -> None:
    before = content(orders=pipeline("a"), b=pipeline("b"))
    write(before)
    assert "there is no pipeline 'order' in atomic_data_config.json; did you mean 'orders'?" in (
        refusal("pipelines remove b order")
    )
    assert saved() == before
