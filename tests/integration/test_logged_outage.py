"""What a person reads of a broker outage: when it began, and how long it lasted."""

import signal
from pathlib import Path

import orjson
import pytest

from tests.cli import running
from tests.kafka import running_kafka, unique_name
from tests.project import Project

pytestmark = pytest.mark.kafka

SIMPLE = """
from streamapp import Pipeline, Topic, agent

@agent
def same(value: dict) -> dict:
    return value

pipeline = Pipeline("{name}", source=Topic("{name}.raw", dict)).stage(same).sink("{name}.out")
"""


def test_an_outage_is_one_sentence_when_it_begins_and_one_when_it_ends(tmp_path: Path) -> None:
    name = unique_name("outage")
    (tmp_path / "mine.py").write_text(SIMPLE.format(name=name))
    with running_kafka(tmp_path / "kafka") as kafka:
        project = Project(name, tmp_path, kafka)
        project.succeed("topics", "apply", "mine:pipeline")
        command = ("run", "mine:pipeline", "--web-port", "0", "--log-format", "json")
        with running(*command, folder=tmp_path / "run", cwd=tmp_path, env=project.env) as run:
            run.wait_for_error("assigned")
            kafka.broker.down(keep_data=True)
            run.wait_for_error("cannot be reached")
            run.wait_for("same: ")
            kafka.broker.up()
            run.wait_for_error("answers again after")
            run.send(signal.SIGTERM)
            assert run.exit_code() == 0
        lines = [orjson.loads(line) for line in run.stderr.splitlines()]
    told = [line for line in lines if "outage" in line]
    assert [line["outage"] for line in told] == ["begins", "ends"]
    began, ended = lines.index(told[0]), lines.index(told[1])
    assert not [line for line in lines if line["logger"].startswith("aiokafka")]
    assert not [line for line in lines[began + 1 : ended] if "trying again" in line["text"]]
