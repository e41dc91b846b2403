"""What a user of `streamapp run` meets beside the good way: second signals, stops, slips."""

import re
import signal
import socket

import orjson
import psutil
import pytest
from aiokafka import AIOKafkaProducer

from streamapp.cli.exit_codes import ExitCode
from tests.cli import RunningCommand, running
from tests.integration.test_cli_exporter import TOKEN, ask
from tests.project import BUNDLED, MISCONFIGURED, STOPPING, STUCK, Project

PARTITIONS = 4


async def write(project: Project, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in range(count):
            await producer.send_and_wait(f"{project.name}.raw", b'{"n":%d}' % n, partition=2)


async def numbers(project: Project) -> list[int]:
    return [orjson.loads(record.value)["n"] for record in await project.read("out", PARTITIONS)]


def children(command: RunningCommand) -> list[psutil.Process]:
    return psutil.Process(command.pid).children()


@pytest.mark.parametrize("project", [STUCK], indirect=True, ids=["stuck"])
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "workers"])
async def test_a_second_signal_ends_at_once_beside_a_stuck_agent_and_loses_nothing(
    project: Project, workers: tuple[str, ...]
) -> None:
    await write(project, 3)
    command = ("run", "mine:pipeline", "--no-web", "--drain-seconds", "600", *workers)
    with running(
        *command, folder=project.folder / "worker", cwd=project.folder, env=project.env
    ) as run:
        run.wait_for("stuck in 1")
        own = children(run)
        assert len(own) == (2 if workers else 0)
        run.send(signal.SIGTERM)
        run.wait_for_error("a second signal ends at once")
        run.send(signal.SIGTERM)
        assert run.exit_code() == ExitCode.ABANDONED
        assert "ended at once; what was in flight will be read again" in run.stderr
        assert not psutil.wait_procs(own, timeout=30)[1]
    done = project.streamapp("run", "mine:pipeline", "--until-end", "--no-web", FIXED="1")
    assert done.returncode == 0, done.stderr
    assert sorted(set(await numbers(project))) == [0, 1, 2]


@pytest.mark.parametrize("project", [STOPPING], indirect=True, ids=["stopping"])
async def test_a_policy_that_stops_one_worker_ends_all_with_its_code(project: Project) -> None:
    run = ("run", "mine:pipeline", "--workers", "2", "--no-web", "--progress-seconds", "0.2")
    folder = project.folder
    with running(*run, folder=folder / "workers", cwd=folder, env=project.env) as stopped:
        for number in (0, 1):
            stopped.wait_for(f"worker {number}: careful: running")
        await write(project, 10)
        assert stopped.exit_code() == ExitCode.STAGE_STOPPED
        assert f"record {project.name}.raw[2] at offset 5" in stopped.stderr
        assert "exit code 5 (STAGE_STOPPED); a restart would fail again" in stopped.stderr
        # Before it drains, the other can get the partition, and meet the record as well.
        last_lines = r"^worker (\d): careful: (stopped|failed)"
        ends = set(re.findall(last_lines, stopped.stdout, re.MULTILINE))
        assert {number for number, _ in ends} == {"0", "1"}
        assert "failed" in {state for _, state in ends}
    [state] = orjson.loads(project.succeed("status", project.name))["pipelines"]
    assert (state["status"], state["error"]) == ("failed", "StageStoppedError")
    assert state["report"]["workers"] == 2
    assert state["report"]["stages"][0]["errors"]
    again = project.streamapp(*run, "--until-end", FIXED="1")
    assert again.returncode == 0, again.stderr
    assert sorted(await numbers(project)) == list(range(10))


@pytest.mark.parametrize("project", [STUCK], indirect=True, ids=["stuck"])
def test_what_is_wrong_is_told_once_and_not_by_every_worker(project: Project) -> None:
    wrong = project.streamapp("run", "mine:nothing", "--workers", "4", "--no-web")
    assert wrong.returncode == ExitCode.CONFIGURATION
    assert wrong.stderr.count("module 'mine' has no 'nothing'") == 1
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{nobody.getsockname()[1]}"
        lost = project.streamapp(
            "run", "mine:pipeline", "--workers", "2", "--no-web", "--bootstrap-servers", nowhere
        )
    assert lost.returncode == ExitCode.BROKER_UNREACHABLE
    assert lost.stderr.count("cannot connect to Kafka at") == 1


@pytest.mark.parametrize("project", [MISCONFIGURED], indirect=True, ids=["misconfigured"])
@pytest.mark.parametrize("web", ["--web-port=0", "--no-web"])
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "workers"])
def test_an_agent_that_cannot_open_as_it_is_configured_ends_the_service_at_once(
    project: Project, workers: tuple[str, ...], web: str
) -> None:
    done = project.streamapp("run", "mine:pipeline", web, *workers)
    assert done.returncode == ExitCode.CONFIGURATION, done.stderr
    assert done.stderr.count("path: titles.csv cannot be read") == 1
    assert "is up" not in done.stderr
    assert "starts again" not in done.stderr


@pytest.mark.parametrize("project", [BUNDLED], indirect=True, ids=["bundled"])
async def test_each_pipeline_of_a_bundle_is_shown_by_its_own_end(project: Project) -> None:
    await write(project, 3)
    done = project.streamapp("run", "mine:pipeline", "--until-end", "--no-web")
    assert done.returncode == ExitCode.STAGE_STOPPED, done.stderr
    shown = orjson.loads(project.succeed("status"))["pipelines"]
    ends = {one["pipeline"]: (one["status"], one["error"]) for one in shown}
    assert ends == {
        project.name: ("failed", "StageStoppedError"),
        f"{project.name}.well": ("success", None),
    }
    assert [one["report"]["stages"][0]["in_flight"] for one in shown] == [0, 0]


@pytest.mark.parametrize("project", [STOPPING], indirect=True, ids=["stopping"])
async def test_a_start_that_fails_does_not_hide_the_run_before_it(project: Project) -> None:
    await write(project, 3)
    project.succeed("run", "mine:pipeline", "--until-end", "--no-web")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        failed = project.streamapp("run", "mine:pipeline", "--until-end", "--web-port", port)
    assert failed.returncode == ExitCode.PORT_IN_USE
    [state] = orjson.loads(project.succeed("status", project.name))["pipelines"]
    assert (state["status"], state["report"]["stages"][0]["records_in"]) == ("success", 3)
    assert state["failed_start"]["error"] == "PortInUseError"


@pytest.mark.parametrize("project", [STUCK], indirect=True, ids=["stuck"])
def test_a_web_port_in_use_ends_before_a_worker_is_started(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = project.streamapp("run", "mine:pipeline", "--workers", "2", "--web-port", port)
    assert done.returncode == ExitCode.PORT_IN_USE
    assert "worker" not in done.stderr


@pytest.mark.parametrize("project", [STUCK], indirect=True, ids=["stuck"])
def test_a_token_guards_the_workers_too_which_listen_on_this_machine_alone(
    project: Project,
) -> None:
    file = project.folder / "token"
    file.write_text(f"{TOKEN}\n")
    env = {**project.env, "STREAMAPP_WEB_TOKEN_FILE": str(file), "STREAMAPP_WEB_HOST": "0.0.0.0"}  # noqa: S104 - of the supervisor
    command = ("run", "mine:pipeline", "--workers", "1", "--web-port", "0")
    with running(*command, folder=project.folder / "run", cwd=project.folder, env=env) as run:
        url = run.wait_for("Status").split()[1]
        run.wait_for_error("worker 0 is up")
        [worker] = children(run)
        listening = [one.laddr for one in worker.net_connections() if one.status == "LISTEN"]
        [(host, port)] = listening
        assert host == "127.0.0.1"
        assert ask(f"http://127.0.0.1:{port}/status")[0] == 401
        assert ask(f"http://127.0.0.1:{port}/status", TOKEN)[0] == 200
        assert ask(f"{url}status")[0] == 401
        status, report = ask(f"{url}status", TOKEN)
        assert (status, orjson.loads(report)["workers"]) == (200, 1)
