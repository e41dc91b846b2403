"""What users get wrong: one sentence on stderr, an exit code by name, nothing begun."""

import json
import shlex
import socket
from pathlib import Path

import pytest

from streamapp.cli.exit_codes import ExitCode
from tests.cli import streamapp
from tests.kafka import Kafka, unique_name
from tests.unit.configuration.hostile import AGENT

PIPELINE = "streamapp.examples.playback.pipeline:pipeline"
NOBODY = "127.0.0.1:1"


def one_sentence(stderr: str) -> str:
    """The only line, without the program's name."""
    [line] = stderr.splitlines()
    assert line.startswith("streamapp: ")
    return line.removeprefix("streamapp: ")


@pytest.mark.parametrize(
    "command",
    [
        ("run", PIPELINE, "--web-port", "0"),
        ("generate", "--records", "5"),
        ("topics", "list"),
        ("topics", "apply"),
    ],
    ids=" ".join,
)
def test_a_broker_that_cannot_be_reached(command: tuple[str, ...]) -> None:
    done = streamapp(*command, "--bootstrap-servers", NOBODY)
    assert done.returncode == ExitCode.BROKER_UNREACHABLE
    assert done.stdout == ""
    assert one_sentence(done.stderr).startswith(f"cannot connect to Kafka at {NOBODY}")


def test_a_setting_of_the_wrong_type() -> None:
    env = {"STREAMAPP_KAFKA_CONNECT_TIMEOUT_SECONDS": "soon"}
    done = streamapp("topics", "list", env=env)
    assert done.returncode == ExitCode.CONFIGURATION
    assert "STREAMAPP_KAFKA_CONNECT_TIMEOUT_SECONDS" in one_sentence(done.stderr)


@pytest.mark.parametrize(
    "command", [("topics", "list"), ("config", "show"), ("demo", "--records", "5")], ids=" ".join
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one(
    command: tuple[str, ...],
) -> None:
    done = streamapp(*command, env={"STREAMAPP_KAFKA_BOOTSTRAP_SERVER": NOBODY})
    assert done.returncode == ExitCode.CONFIGURATION
    assert one_sentence(done.stderr) == (
        "the variable STREAMAPP_KAFKA_BOOTSTRAP_SERVER is not a setting; did you mean"
        " STREAMAPP_KAFKA_BOOTSTRAP_SERVERS?"
    )


def test_an_address_without_a_port_names_the_option() -> None:
    done = streamapp("topics", "list", "--bootstrap-servers", "localhost")
    assert done.returncode == ExitCode.CONFIGURATION
    assert one_sentence(done.stderr).startswith("--bootstrap-servers must be host:port")


def test_a_module_beside_the_user_is_found_and_its_faults_are_told(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import not_installed_anywhere\n")
    done = streamapp("run", "broken:pipeline", "--no-web", cwd=tmp_path)
    assert done.returncode == ExitCode.CONFIGURATION
    assert one_sentence(done.stderr) == (
        "module 'broken' imports 'not_installed_anywhere', which is not installed"
    )


def test_faulty_yaml_is_told_with_file_and_line(tmp_path: Path) -> None:
    folder = tmp_path / "topics"
    folder.mkdir()
    (folder / "mine.yaml").write_text("topics:\n  - name: [\n")
    done = streamapp("topics", "apply", "--bootstrap-servers", NOBODY, cwd=tmp_path)
    assert done.returncode == ExitCode.CONFIGURATION
    assert one_sentence(done.stderr).startswith("topics/mine.yaml:")


def test_missing_topics_are_named_and_nothing_is_joined(kafka: Kafka, tmp_path: Path) -> None:
    name = unique_name("missing")
    (tmp_path / "mine.py").write_text(
        "from streamapp.pipeline.agent import agent\n"
        "from streamapp.pipeline.pipeline import Pipeline\n"
        "from streamapp.topics.topic import Topic\n"
        "@agent\n"
        "def same(value: dict) -> dict: return value\n"
        f"pipeline = Pipeline({name!r}, source=Topic('{name}.in', dict))"
        f".stage(same).sink('{name}.out')\n"
    )
    args = ("mine:pipeline", "--no-web", "--bootstrap-servers", kafka.bootstrap_servers)
    done = streamapp("run", *args, cwd=tmp_path)
    assert done.returncode == ExitCode.CONFIGURATION
    assert one_sentence(done.stderr).startswith(
        f"missing topics: {name}.in, {name}.out, {name}.same.dlq; create them with `streamapp"
        f" topics apply mine:pipeline --bootstrap-servers {kafka.bootstrap_servers}`"
    )
    assert done.stdout == ""


def test_missing_topics_of_a_file_are_created_by_the_command_that_is_told(
    kafka: Kafka, tmp_path: Path
) -> None:
    name = unique_name("missing")
    stage = {"agent": "once"}
    pipeline = {"source": f"{name}.in", "sink": f"{name}.out", "stages": [stage]}
    content = {"data_agents": {"once": AGENT}, "data_pipelines": {name: pipeline}}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    args = ("--no-web", "--until-end", "--bootstrap-servers", kafka.bootstrap_servers)
    done = streamapp("run", f"mine.json#{name}", *args, cwd=tmp_path)
    assert done.returncode == ExitCode.CONFIGURATION
    command = shlex.split(one_sentence(done.stderr).split("`")[1])
    assert command[0] == "streamapp"
    assert streamapp(*command[1:], cwd=tmp_path).returncode == 0
    assert streamapp("run", f"mine.json#{name}", *args, cwd=tmp_path).returncode == 0


def test_generating_into_a_missing_topic_leaves_the_ledger_alone(
    kafka: Kafka, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("of an earlier run\n")
    args = ("--records", "5", "--topic", unique_name("missing"), "--ledger", ledger)
    done = streamapp("generate", *args, "--bootstrap-servers", kafka.bootstrap_servers)
    assert done.returncode == ExitCode.CONFIGURATION
    assert "does not exist" in one_sentence(done.stderr)
    assert ledger.read_text() == "of an earlier run\n"


def test_a_web_port_in_use_ends_a_run_before_it_begins(kafka: Kafka) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        where = ("--bootstrap-servers", kafka.bootstrap_servers)
        applied = streamapp("topics", "apply", PIPELINE, *where)
        assert applied.returncode == 0, applied.stderr
        done = streamapp("run", PIPELINE, "--web-port", port, *where)
    assert done.returncode == ExitCode.PORT_IN_USE
    assert f"port {port}" in one_sentence(done.stderr)


def test_a_plan_that_is_refused_changes_nothing(kafka: Kafka, tmp_path: Path) -> None:
    name = unique_name("refused")
    declaration = tmp_path / "topics.yaml"
    args = ("topics", "apply", "--dir", tmp_path, "--bootstrap-servers", kafka.bootstrap_servers)
    declaration.write_text(f"topics:\n  - name: {name}\n    partitions: 2\n")
    assert streamapp(*args).stdout.startswith(f"done: create {name} with partitions=2")
    assert streamapp(*args).stdout == "Nothing to do: Kafka has the topics as declared.\n"

    declaration.write_text(f"topics:\n  - name: {name}\n    partitions: 3\n")
    refused = streamapp(*args)
    assert refused.returncode == ExitCode.CONFIGURATION
    assert "use --yes" in refused.stderr
    dry = streamapp(*args, "--yes", "--dry-run")
    assert dry.stdout == f"would add partitions to {name}, from 2 to 3\n"
    assert streamapp(*args, "--yes").stdout == f"done: add partitions to {name}, from 2 to 3\n"
