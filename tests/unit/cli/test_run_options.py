import shlex
from dataclasses import replace
from typing import Any

import pytest
from typer.core import TyperGroup

from streamapp.cli.lazy_group import load
from streamapp.cli.run_options import RunOptions
from streamapp.errors import ConfigurationError
from streamapp.observability.logs import LogFormat

PLAIN = RunOptions(
    target="mine:pipeline",
    packages=(),
    bootstrap_servers=None,
    stages=(),
    instance_id=None,
    session_seconds=10.0,
    yes=False,
    until_end=False,
    web_port=9464,
    log_level="INFO",
    log_format=LogFormat.PLAIN,
    progress_seconds=10.0,
    drain_seconds=20.0,
)
FULL = RunOptions(
    target="mine:pipeline",
    packages=("shop", "books"),
    bootstrap_servers="a:1,b:2",
    stages=("one", "two"),
    instance_id="w",
    session_seconds=45.0,
    yes=True,
    until_end=True,
    web_port=None,
    log_level="DEBUG",
    log_format=LogFormat.JSON,
    progress_seconds=1.5,
    drain_seconds=0.5,
    web_host="0.0.0.0",  # noqa: S104 - an address like another
    web_open=True,
)


def understood(command: tuple[str, ...]) -> dict[str, Any]:
    """What `streamapp run` makes of a worker's command line."""
    context = load("run").make_context("run", list(command[4:]))
    params: dict[str, Any] = context.params
    return params


@pytest.mark.parametrize("options", [PLAIN, FULL], ids=["plain", "full"])
def test_a_worker_is_told_all_that_its_supervisor_was(options: RunOptions) -> None:
    command = options.worker_command(3)
    assert command[1:4] == ("-m", "streamapp", "run")
    params = understood(command)
    assert params["workers"] is None
    assert params["no_web"] is (options.web_port is None)
    assert params["no_web"] or params["web_port"] == 0
    assert (params["web_host"], params["web_open"]) == ("127.0.0.1", False)
    assert params["instance_id"] == (options.instance_id and f"{options.instance_id}-3")
    assert tuple(params["stage"] or ()) == options.stages
    assert tuple(params["allow_package"] or ()) == options.packages
    assert LogFormat(str(params["log_format"])) is options.log_format
    for name in (
        "target",
        "bootstrap_servers",
        "session_seconds",
        "yes",
        "until_end",
        "log_level",
        "progress_seconds",
        "drain_seconds",
    ):
        assert params[name] == getattr(options, name), name


@pytest.mark.parametrize("target", ["mine:pipeline", "a.json#clean", "my file.json#it's clean"])
def test_topics_are_created_by_a_command_that_takes_the_same_target(target: str) -> None:
    told = shlex.split(replace(FULL, target=target).topics_command)
    assert told[:3] == ["streamapp", "topics", "apply"]
    apply = load("topics")
    assert isinstance(apply, TyperGroup)
    params = apply.commands["apply"].make_context("apply", told[3:]).params
    assert params["target"] == target
    assert tuple(params["allow_package"]) == FULL.packages
    assert params["bootstrap_servers"] == FULL.bootstrap_servers
    plain = replace(PLAIN, target="a.json#clean").topics_command
    assert plain == "streamapp topics apply a.json#clean"


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 241, "a/b"])
def test_a_name_that_kafka_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="static member"):
        replace(PLAIN, instance_id=name)
