"""`streamapp broker`: a real Apache Kafka on this machine, for development."""

import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import orjson
import typer

from streamapp.cli.exit_codes import ExitCode
from streamapp.local_kafka.broker import BrokerStatus, DevBroker
from streamapp.local_kafka.config import CLIENT_LISTENER, BrokerOptions
from streamapp.local_kafka.jars import CACHE_VARIABLE
from streamapp.local_kafka.ports import bind_fault
from streamapp.local_kafka.state import read_state

DEFAULT_FOLDER = Path(".streamapp/broker")
_PREFERRED_PORT = 9092
"""The port at which commands expect Kafka by default."""

app = typer.Typer(
    no_args_is_help=True,
    help="A real Apache Kafka on this machine, for development. Needs Java 17, and Maven once.",
)

FolderOption = Annotated[Path, typer.Option("--dir", help="Folder for state, data and logs.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command()
def up(
    *,
    folder: FolderOption = DEFAULT_FOLDER,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of the first node; each next node takes the next port. By default 9092 if it"
            " is free, else any free ports.",
        ),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, max=9, help="Number of brokers; 1 by default.")
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A Kafka broker property; repeatable."),
    ] = None,
    listeners: Annotated[
        list[str] | None,
        typer.Option(
            "--listener",
            metavar="NAME:PROTOCOL",
            help="A further listener, such as TLS:SSL, on a free port; repeatable.",
        ),
    ] = None,
    heap_mb: Annotated[
        int | None, typer.Option(min=128, help="JVM heap of a node, in MiB; 512 by default.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Longest wait, in seconds, until Kafka is ready.")
    ] = 60.0,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            envvar=CACHE_VARIABLE,
            help="Folder for Kafka's jars, shared by all brokers; ~/.cache/streamapp by default.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start Kafka and wait until it is ready; a broker that already runs is left as it is.

    An option that is left out keeps the value that the broker in this folder was started with.
    """
    saved = read_state(folder)
    options = saved.options if saved else BrokerOptions()
    count = nodes or options.nodes
    options = replace(
        options,
        port=port or (options.port if saved else port_if_free(_PREFERRED_PORT, count)),
        nodes=count,
        properties=_pairs(properties, "=", "--set") if properties else options.properties,
        listeners=_pairs(listeners, ":", "--listener") if listeners else options.listeners,
        heap_mb=heap_mb or options.heap_mb,
    )
    broker = DevBroker(folder, options, cache_dir=cache_dir, report=_report)
    result = broker.up(timeout_seconds=timeout)
    if as_json:
        _print_json(_facts(result.status) | {"was_running": result.was_running})
        return
    prefix = "Already running: " if result.was_running else ""
    typer.echo(prefix + _summary(result.status))
    _print_listeners(result.status)
    typer.echo(f"Logs:    {broker.folder}/node-*/broker.log")
    typer.echo(
        f"Stop it: streamapp broker down{_dir_option(folder)}"
        " (removes its records; --keep-data keeps them)"
    )


@app.command()
def status(folder: FolderOption = DEFAULT_FOLDER, *, as_json: JsonOption = False) -> None:
    """Show the broker that runs; exit code 1 when none runs."""
    found = DevBroker(folder).status()
    if found is None:
        if as_json:
            _print_json({"running": False})
        else:
            typer.echo(f"No broker runs in {folder}. Start one: {_up_command(folder)}")
        raise typer.Exit(ExitCode.FAILURE)
    if as_json:
        _print_json(_facts(found))
        return
    typer.echo(f"{_summary(found)}, up {_duration(found.uptime_seconds)}")
    _print_listeners(found)


@app.command()
def down(
    folder: FolderOption = DEFAULT_FOLDER,
    *,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep topics, records and address for the next up.")
    ] = False,
) -> None:
    """Stop Kafka and remove its data; does nothing when no broker runs."""
    found = DevBroker(folder).down(keep_data=keep_data)
    if folder == DEFAULT_FOLDER:
        with suppress(OSError):
            folder.parent.rmdir()  # made by `up`; stays if it holds anything else
    if found.was_running:
        typer.echo("Stopped; its data is kept." if keep_data else "Stopped; its data is removed.")
    elif found.had_data and not keep_data:
        typer.echo(f"No broker ran in {folder}; the data left there is removed.")
    else:
        typer.echo(f"No broker ran in {folder}.")


def _pairs(texts: list[str], separator: str, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, found, value = text.partition(separator)
        if not found or not name.strip():
            raise typer.BadParameter(
                f"{text!r} is not of the form NAME{separator}VALUE.", param_hint=option
            )
        pairs[name.strip()] = value.strip()
    return pairs


def _summary(status: BrokerStatus) -> str:
    pids = ", ".join(str(pid) for pid in status.pids)
    word = "ready" if status.ready else "not ready yet"
    noun = "pid" if len(status.pids) == 1 else "pids"
    return (
        f"Kafka {status.state.kafka_version} is {word} at {status.state.bootstrap_servers} "
        f"({noun} {pids})"
    )


def _print_listeners(status: BrokerStatus) -> None:
    for name in status.state.options.listeners:
        typer.echo(f"{name}: {status.state.addresses(name)}")


def _facts(status: BrokerStatus) -> dict[str, object]:
    names = [CLIENT_LISTENER, *status.state.options.listeners]
    return {
        "running": True,
        "ready": status.ready,
        "bootstrap_servers": status.state.bootstrap_servers,
        "listeners": {name: status.state.addresses(name) for name in names},
        "pids": status.pids,
        "uptime_seconds": round(status.uptime_seconds, 1),
        "kafka_version": status.state.kafka_version,
    }


def _print_json(facts: dict[str, object]) -> None:
    typer.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def port_if_free(port: int, nodes: int) -> int | None:
    """Return the port if it and the ports of the further nodes are free, else `None`."""
    return None if any(bind_fault(port + i) for i in range(nodes)) else port


def _dir_option(folder: Path) -> str:
    return "" if folder == DEFAULT_FOLDER else f" --dir {shlex.quote(str(folder))}"


def _up_command(folder: Path) -> str:
    return f"streamapp broker up{_dir_option(folder)}"


def _report(sentence: str) -> None:
    typer.echo(sentence, err=True)
