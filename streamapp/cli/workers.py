"""`streamapp run --workers`: this process starts workers and shows them as one."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import typer

from streamapp.beside import beside
from streamapp.cli.exit_codes import NOT_RESTARTED, ExitCode
from streamapp.cli.kafka import kafka_line, kafka_settings
from streamapp.cli.loading import monitoring_of
from streamapp.cli.run_options import RunOptions
from streamapp.cli.say import say, say_failure
from streamapp.cli.serving import listening
from streamapp.cli.signals import stop_on_signal
from streamapp.cli.variables import TOKEN_VARIABLE
from streamapp.cli.web_access import web_access
from streamapp.clock import SystemClock
from streamapp.native_leaves import SELECTED
from streamapp.secret_files import FILE_SUFFIX
from streamapp.supervisor.answers import WorkersPort
from streamapp.supervisor.process import SpawnedWorker, WorkerProcess
from streamapp.supervisor.restarts import RestartPolicy
from streamapp.supervisor.supervisor import Ending, Supervisor
from streamapp.supervisor.view import WorkersView
from streamapp.web.access import Access

AFTER_DRAIN_SECONDS = 15.0
"""How long a worker may take after its drain to leave its groups and close its clients."""


def supervise(options: RunOptions, count: int) -> None:
    """Run `count` workers until they are stopped, have reached the end, or cannot be restarted.

    Raises:
        ConfigurationError: the address of Kafka or a setting is wrong.
        PortInUseError: another process has the web port.
        typer.Exit: a worker failed.
    """
    access = web_access(options)
    say(kafka_line(kafka_settings(options.bootstrap_servers)))
    say(f"Runs     {SELECTED.sentence}")
    monitoring = monitoring_of(options.target, options.packages)
    ending = asyncio.run(_supervise(options, count, access, exports_metrics=monitoring.enabled))
    if ending.overdue:
        say_failure("workers did not drain in time and were killed")
        raise typer.Exit(ExitCode.DRAIN_TIMEOUT)
    if ending.exit_code:
        raise typer.Exit(ending.exit_code if ending.exit_code > 0 else ExitCode.FAILURE)


async def _supervise(
    options: RunOptions, count: int, access: Access | None, *, exports_metrics: bool
) -> Ending:
    token = None if access is None else access.token
    environment = _with_token(os.environ, token)

    async def start(number: int) -> WorkerProcess:
        return await SpawnedWorker.start(options.worker_command(number), number, environment)

    policy = RestartPolicy(
        not_restarted={code: code.name for code in NOT_RESTARTED},
        ends_by_itself=options.until_end,
        # An agent may block the event loop for as long as the session of its group allows.
        start_seconds=options.start_seconds,
        replaced_seconds=max(60.0, 2 * options.session_seconds),
    )
    drain_seconds = options.drain_seconds + AFTER_DRAIN_SECONDS
    supervisor = Supervisor(start, count, policy=policy, drain_seconds=drain_seconds)
    with stop_on_signal(
        supervisor.stop,
        message=f"Stopping: {count} workers are finishing what is in flight",
        at_once=supervisor.kill,
    ):
        async with _serve_status(supervisor, options, access, exports_metrics=exports_metrics):
            return await supervisor.run()


def _with_token(environment: Mapping[str, str], token: str | None) -> Mapping[str, str]:
    """The variables of a worker: it asks for the token of now, if the file has another one then."""
    if token is None:
        return environment
    file = f"{TOKEN_VARIABLE}{FILE_SUFFIX}"
    return {**{n: v for n, v in environment.items() if n != file}, TOKEN_VARIABLE: token}


@asynccontextmanager
async def _serve_status(
    supervisor: Supervisor, options: RunOptions, access: Access | None, *, exports_metrics: bool
) -> AsyncIterator[None]:
    """Serve metrics, health and status of all workers while the block runs."""
    if options.web_port is None:
        yield
        return
    port = WorkersPort(supervisor.slots, None if access is None else access.token)
    try:
        view = WorkersView(supervisor.slots, port, SystemClock())
        async with (
            listening(
                view,
                port=options.web_port,
                exports_metrics=exports_metrics,
                host=options.web_host,
                access=access,
            ),
            beside(view.watch()),
        ):
            yield
    finally:
        await port.close()
