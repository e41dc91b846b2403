"""`streamapp exporter`: a process that tells of stages, which do not run, on a real Kafka."""

import json
import signal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running
from tests.integration.test_cli_lag import PIPELINE, write
from tests.project import Project

TOKEN = "a-token-of-this-test"  # noqa: S105 - of a server of this test


def ask(url: str, token: str | None = None) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(url, headers=headers)) as response:  # noqa: S310 - of a test's server
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("project", [pytest.param(PIPELINE, id="careful")], indirect=True)
async def test_a_stage_that_has_never_run_is_told_until_the_command_is_stopped(
    project: Project,
) -> None:
    await write(project, 5)
    command = ("exporter", "mine:pipeline", "--web-port", "0", "--interval-seconds", "0.2")
    env = {**project.env, "STREAMAPP_WEB_TOKEN": TOKEN}
    folder = project.folder / "exporter"
    with running(*command, folder=folder, cwd=project.folder, env=env) as exporter:
        url = exporter.wait_for("Metrics").split()[1]
        assert ask(url)[0] == 401
        health = url.removesuffix("metrics") + "readyz"
        while (answer := ask(health, TOKEN))[0] != 200:
            assert json.loads(answer[1])["reason"] == "Kafka has not answered yet"
        status, text = ask(url, TOKEN)
        exporter.send(signal.SIGTERM)
        assert exporter.exit_code() == ExitCode.OK
    assert status == 200
    stage = f'pipeline="{project.name}",stage="careful"'
    told = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("streamapp_"))
    lags = [float(v) for k, v in told.items() if k.startswith("streamapp_group_lag_records")]
    assert sum(lags) == 5
    assert told[f"streamapp_group_members{{{stage}}}"] == "0.0"
    assert told["streamapp_exporter_kafka_up"] == "1.0"
    # It is no member of the group, and has committed nothing.
    assert "has committed an offset" in project.streamapp("lag", project.name).stderr


@pytest.mark.parametrize("project", [pytest.param(PIPELINE, id="careful")], indirect=True)
def test_what_is_wrong_with_its_options_ends_it_with_one_sentence(project: Project) -> None:
    open_to_all = project.streamapp("exporter", "mine:pipeline", "--web-host", "0.0.0.0")  # noqa: S104 - it is refused
    assert open_to_all.returncode == ExitCode.CONFIGURATION
    assert "can be reached from elsewhere" in open_to_all.stderr
    twice = project.streamapp("exporter", "mine:pipeline", "mine:pipeline", "--web-port", "0")
    assert twice.returncode == ExitCode.CONFIGURATION
    assert "name it once" in twice.stderr
