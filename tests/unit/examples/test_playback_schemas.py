from pathlib import Path

import pytest

from streamapp.examples.playback.schemas import main, schema_files
from streamapp.topics.catalogue import read_catalogue

TOPICS = Path(__file__).parents[3] / "topics"


def test_the_schema_files_are_those_of_the_models() -> None:
    found = {path.name: path.read_text() for path in (TOPICS / "schemas").iterdir()}
    assert found == schema_files(), (
        "run: python -m streamapp.examples.playback.schemas topics/schemas"
    )


def test_the_command_writes_them(tmp_path: Path) -> None:
    assert main([str(tmp_path / "new")]) == 0
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == schema_files()


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage:" in capsys.readouterr().err


def test_the_topics_of_the_example_are_declared() -> None:
    catalogue = read_catalogue(TOPICS)
    stages = ("validate", "enrich", "score")
    records = {"playback.raw", "playback.scored", "playback.alerts"} | {
        f"playback-quality.{stage}" for stage in stages
    }
    dead_letters = {f"playback-quality.{stage}.dlq" for stage in (*stages, "route")}
    specs = {spec.name: spec for spec in catalogue.specs()}
    assert specs.keys() >= records | dead_letters
    for name in records:
        assert specs[name].partitions == 4
        assert catalogue.topics[name].value_schema
        assert name not in catalogue.unkeyed()
    source_bytes = int(specs["playback.raw"].config["max.message.bytes"])
    for name in dead_letters:
        assert specs[name].partitions == 1
        assert int(specs[name].config["max.message.bytes"]) == source_bytes + 64 * 1024
