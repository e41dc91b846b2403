"""The lookup in a file: what it finds, when it reads again, and which files it refuses."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.agents.table_file import TableFormat, read_table
from streamapp.clock import clock_in_use
from streamapp.errors import ConfigurationError, Permanent
from tests.hand_clock import HandClock
from tests.unit.agents.built import built, faults
from tests.unit.agents.services import opened

TITLES = {"t1": {"name": "Alien", "year": 1979}, "42": {"name": "Douglas"}}


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    path = tmp_path / "titles.json"
    path.write_text(json.dumps(TITLES))
    return path


def _configuration(path: Path, **settings: Any) -> dict[str, Any]:
    return {"path": str(path), "key": "title", "into": "about", **settings}


async def test_what_the_file_says_of_the_key_is_added(titles: Path) -> None:
    async with opened(built("FileLookup", _configuration(titles))) as lookup:
        value = {"title": "t1", "ms": 3}
        assert await lookup(value) == {**value, "about": TITLES["t1"]}
        assert value == {"title": "t1", "ms": 3}
        assert (await lookup({"title": 42}))["about"] == TITLES["42"]


async def test_what_was_found_is_nobody_elses(titles: Path) -> None:
    async with opened(built("FileLookup", _configuration(titles))) as lookup:
        first = await lookup({"title": "t1"})
        first["about"]["name"] = "changed"
        assert (await lookup({"title": "t1"}))["about"] == TITLES["t1"]


async def test_a_csv_file_has_texts_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "titles.csv"
    path.write_text('id,name,year\nt1,"Alien, again",1979\n\nt2,"two\nlines",1980\n')
    async with opened(built("FileLookup", _configuration(path, key_field="id"))) as lookup:
        found = (await lookup({"title": "t1"}))["about"]
        assert found == {"id": "t1", "name": "Alien, again", "year": "1979"}
        assert (await lookup({"title": "t2"}))["about"]["name"] == "two\nlines"


async def test_a_json_list_has_its_keys_in_a_field(tmp_path: Path) -> None:
    path = tmp_path / "titles"
    path.write_text('[{"id": 7, "name": "Seven"}]')
    settings = _configuration(path, key_field="id", format="json", into="a.b")
    async with opened(built("FileLookup", settings)) as lookup:
        assert (await lookup({"title": "7", "a": {"c": 1}}))["a"] == {
            "b": {"id": 7, "name": "Seven"},
            "c": 1,
        }


@pytest.mark.parametrize("value", [{"title": "t9"}, {}, {"title": None}])
async def test_a_missing_key_is_what_the_configuration_says(
    titles: Path, value: dict[str, Any]
) -> None:
    async with opened(built("FileLookup", _configuration(titles))) as lookup:
        with pytest.raises(Permanent, match=r"^title: nothing is known of this key$"):
            await lookup(value)
    passing = built("FileLookup", _configuration(titles, if_missing="pass_on"))
    async with opened(passing) as lookup:
        assert await lookup(value) is value
    settings = _configuration(titles, if_missing="default", default={"name": []})
    async with opened(built("FileLookup", settings)) as lookup:
        first = await lookup(value)
        first["about"]["name"].append("changed")
        assert await lookup(value) == {**value, "about": {"name": []}}


async def test_a_key_that_is_null_is_not_the_text_of_it(tmp_path: Path) -> None:
    path = tmp_path / "titles.json"
    path.write_text('{"None": 1, "null": 2}')
    async with opened(built("FileLookup", _configuration(path, if_missing="pass_on"))) as lookup:
        assert await lookup({"title": None}) == {"title": None}


@pytest.mark.parametrize("key", [1.0, True, [], {}])
async def test_what_is_no_key_is_the_records_fault(titles: Path, key: Any) -> None:
    async with opened(built("FileLookup", _configuration(titles, if_missing="pass_on"))) as lookup:
        with pytest.raises(Permanent, match=r"^title: "):
            await lookup({"title": key})


def _rewrite(path: Path, text: str | None) -> None:
    """Change a file, or remove it; its time is another one, however soon it is."""
    if text is None:
        path.unlink()
        return
    path.write_text(text)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


async def test_a_changed_file_is_read_again(titles: Path) -> None:
    clock = HandClock()
    with clock_in_use(clock):
        async with opened(built("FileLookup", _configuration(titles, check_seconds=10))) as lookup:
            _rewrite(titles, '{"t1": "new"}')
            clock.advance(9.9)
            assert (await lookup({"title": "t1"}))["about"] == TITLES["t1"]
            clock.advance(0.1)
            assert (await lookup({"title": "t1"}))["about"] == "new"
            _rewrite(titles, '{"t1": "newer"}')
            assert (await lookup({"title": "t1"}))["about"] == "new", "looked at too often"


@pytest.mark.parametrize("broken", ["{", None, '{"t1": 1, "t1": 2}'])
async def test_a_changed_file_that_cannot_be_used_is_told_of_once(
    titles: Path, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HandClock()
    with clock_in_use(clock):
        async with opened(built("FileLookup", _configuration(titles))) as lookup:
            _rewrite(titles, broken)
            for _ in range(3):
                clock.advance(10)
                with caplog.at_level(logging.WARNING):
                    assert (await lookup({"title": "t1"}))["about"] == TITLES["t1"]
            assert len(caplog.messages) == 1
            assert "goes on with what it read of" in caplog.messages[0]
            _rewrite(titles, '{"t1": "new"}')
            clock.advance(10)
            assert (await lookup({"title": "t1"}))["about"] == "new"


@pytest.mark.parametrize(
    ("name", "text", "settings", "why"),
    [
        ("a.json", None, {}, "cannot be read: No such file"),
        ("a.json", "[]", {}, "is no such table: it is no object of entries by key"),
        ("a.json", "{}", {"key_field": "id"}, "is no such table: it is no list of objects"),
        ("a.json", '[{"id": 1.5}]', {"key_field": "id"}, "entry 0 has no text or integer as 'id'"),
        ("a.json", "[3]", {"key_field": "id"}, "entry 0 has no text or integer as 'id'"),
        (
            "a.json",
            '[{"id": 1}, {"id": "1"}]',
            {"key_field": "id"},
            "entry 1 has the key '1' of entry 0 again",
        ),
        ("a.json", '{"a": {"b": 1, "b": 2}}', {}, "an object has the field 'b' twice"),
        ("a.json", '{"a": NaN}', {}, "JSON has no NaN"),
        ("a.json", '{"a": 1e999}', {}, "is no such table"),
        ("a.json", "[" * 100_000, {}, "is no such table"),
        ("a.json", '{"a": "123456789"}', {"max_bytes": 10}, "is larger than max_bytes, 10"),
        ("a.csv", "", {"key_field": "id"}, "its first line has to name its columns"),
        ("a.csv", "a,b\n1,2\n", {"key_field": "id"}, "among them 'id' once"),
        ("a.csv", "id,id\n1,2\n", {"key_field": "id"}, "among them 'id' once"),
        ("a.csv", "id,b\n1\n", {"key_field": "id"}, "line 2 has 1 values, and the first line 2"),
        ("a.csv", 'id\n"a', {"key_field": "id"}, "is no such table"),
        ("a.csv", "id\n1\n1\n", {"key_field": "id"}, "line 3 has the key '1' of line 2 again"),
    ],
)
async def test_a_file_that_cannot_be_used_is_refused_when_the_agent_opens(
    tmp_path: Path, name: str, text: str | None, settings: dict[str, Any], why: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    lookup = built("FileLookup", _configuration(path, **settings))
    assert lookup.lifecycle is not None
    with pytest.raises(ConfigurationError, match=r"^path: ") as raised:
        await lookup.lifecycle.open()
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"path": "titles"}, "give 'format', json or csv: the name of the file has none"),
        ({"path": "a.csv"}, "a CSV file needs 'key_field': the column with the key"),
        ({"if_missing": "default"}, "give a 'default' together with 'if_missing'"),
        ({"default": 1}, "give a 'default' together with 'if_missing'"),
        ({"into": "a..b"}, "into: 'a..b' is no place of a field"),
        ({"check_seconds": 0}, "check_seconds: should be greater than 0"),
    ],
)
def test_a_wrong_setting_is_told_with_its_path(settings: dict[str, Any], why: str) -> None:
    assert why in faults("FileLookup", {**_configuration(Path("a.json")), **settings})[0]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=5))
def test_what_a_file_says_is_found_as_it_stands(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(table))
    read = read_table(path, TableFormat.JSON, None, 10_000_000)
    assert {key: json.loads(entry) for key, entry in read.entries.items()} == table
