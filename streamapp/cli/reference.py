"""Reference pages made from declarations: the command line, settings and exit codes.

`python -m streamapp.cli.reference cli` prints docs/reference/cli.md, and `... settings` and
`... exit-codes` print the pages of these names; a test compares the files with them.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.lazy_group import load
from streamapp.cli.main import COMMANDS
from streamapp.cli.run_options import START_SECONDS
from streamapp.cli.runnable import (
    NEVER,
)
from streamapp.cli.variables import (
    AFTER_VARIABLE,
    CONFIG_VARIABLE,
    DEFAULT_PORT,
    EXPORTER_PORT,
    EXPORTER_PORT_VARIABLE,
    HOST_VARIABLE,
    HOSTS_VARIABLE,
    INSTANCE_VARIABLE,
    OPEN_VARIABLE,
    PORT_VARIABLE,
    STALL_VARIABLE,
    START_VARIABLE,
    TOKEN_VARIABLE,
    TRACES_VARIABLE,
)
from streamapp.configuration.allowed_packages import (
    ALWAYS_ALLOWED,
)
from streamapp.configuration.names import FILE_NAME, PACKAGES_OPTION, PACKAGES_VARIABLE
from streamapp.configuration.overrides import SECTIONS, variables
from streamapp.configuration.state_folder import FOLDER_NAME, STATE_VARIABLE
from streamapp.local_kafka.jars import CACHE_VARIABLE
from streamapp.native_leaves import SWITCH
from streamapp.pipeline.pipeline import StageSettings
from streamapp.pipeline.stage import StageConfig
from streamapp.policies.backoff import Backoff
from streamapp.reassembly.config import Reassembly
from streamapp.runtime.config import RuntimeConfig
from streamapp.secret_files import FILE_SUFFIX
from streamapp.settings import KafkaSettings
from streamapp.web.access import LOOPBACK

Row = tuple[str, ...]

_BOUNDS = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))


def settings_reference() -> str:
    """The page on settings, as Markdown."""
    prefix = KafkaSettings.model_config["env_prefix"]
    return _page(
        "Settings",
        "settings",
        "## The connection to Kafka",
        "",
        "Every command reads these environment variables. An empty variable counts as not set."
        " A variable that begins with `STREAMAPP_` and is no setting is an error; those that"
        " Kubernetes sets for services are ignored. Secrets are never shown, and can stand in files"
        " (`_FILE`).",
        "",
        *_table(
            ("variable", "type", "default", "meaning"),
            _rows(KafkaSettings, lambda name: f"{prefix}{name.upper()}"),
        ),
        "",
        "## Other variables",
        "",
        *_table(
            ("variable", "default", "meaning"),
            (
                (
                    f"`{PORT_VARIABLE}`",
                    f"`{DEFAULT_PORT}`",
                    "port of metrics, health and status of `run` and `demo`, on 127.0.0.1",
                ),
                (
                    f"`{EXPORTER_PORT_VARIABLE}`",
                    f"`{EXPORTER_PORT}`",
                    "port of metrics and health of `exporter`, on 127.0.0.1",
                ),
                (
                    f"`{HOST_VARIABLE}`",
                    f"`{LOOPBACK}`",
                    "address of these servers; `--web-host`",
                ),
                (
                    f"`{HOSTS_VARIABLE}`",
                    "none",
                    (
                        "names by which a server on 127.0.0.1 may be asked, beside `localhost` and"
                        " its address, separated by commas; that of a proxy before it"
                    ),
                ),
                (
                    f"`{TOKEN_VARIABLE}`",
                    "none",
                    (
                        "token that whoever asks has to send; `status` and `lag` send it; or"
                        f" `{TOKEN_VARIABLE}{FILE_SUFFIX}`, a file with it"
                    ),
                ),
                (
                    f"`{OPEN_VARIABLE}`",
                    "`false`",
                    "whether probes and scrapes need no token; `--web-open`",
                ),
                (
                    f"`{INSTANCE_VARIABLE}`",
                    "none",
                    "name of a worker as a static member of its groups; `--instance-id` of `run`",
                ),
                (
                    f"`{STALL_VARIABLE}`",
                    f"`{RuntimeConfig().stall_after_seconds:g}`",
                    (
                        "a stage that has lag and finishes nothing for so many seconds is stalled;"
                        " `--stall-seconds` of `run`"
                    ),
                ),
                (
                    f"`{START_VARIABLE}`",
                    f"`{START_SECONDS:g}`",
                    (
                        "a worker of `--workers` that is not up for so many seconds is started"
                        " again; `--start-seconds` of `run`"
                    ),
                ),
                (
                    f"`{TRACES_VARIABLE}`",
                    "none",
                    (
                        "share of new traces that `run` keeps, from 0 to 1; without it, no traces"
                        " are made"
                    ),
                ),
                (
                    f"`{SWITCH}`",
                    "`1`",
                    "`0` turns [native leaves](../how-to/run-faster.md) off; `doctor` tells",
                ),
                (
                    f"`{CACHE_VARIABLE}`",
                    "`~/.cache/streamapp`",
                    "folder in which `broker up` keeps Kafka's jars",
                ),
                (
                    f"`{CONFIG_VARIABLE}`",
                    f"`{FILE_NAME}`",
                    "the configuration file; `--config` of `config` and `agents`",
                ),
                (
                    f"`{PACKAGES_VARIABLE}`",
                    "none",
                    (
                        f"packages to import agents from, beside `{ALWAYS_ALLOWED}`, separated by"
                        f" commas; `{PACKAGES_OPTION}` of the commands that import"
                    ),
                ),
                (
                    f"`{STATE_VARIABLE}`",
                    f"`{FOLDER_NAME}` beside the configuration file",
                    "folder for what is remembered between runs, such as scores of agents",
                ),
                (
                    f"`{AFTER_VARIABLE}`",
                    f"`{Reassembly().open_seconds:g}`",
                    (
                        "how long a breaker may not be closed until `run` replaces its agent;"
                        f" `{NEVER}`: it does not"
                    ),
                ),
                *_override_rows(),
            ),
        ),
        "",
        "## A stage",
        "",
        "Fields of `StageConfig`, given as `.stage(agent, config=StageConfig(...))`. `on_error=`"
        " sets all fields that concern errors, see"
        " [Handle failures](../how-to/handle-failures.md). "
        + ", ".join(f"`{name}`" for name in StageSettings.__annotations__)
        + " can also be given one by one, as in `.stage(agent, concurrency=64)`.",
        "",
        *_table(("field", "type", "default", "meaning"), _rows(StageConfig)),
        "",
        "## Waits between attempts",
        "",
        "Fields of `Backoff`, in seconds.",
        "",
        *_table(("field", "type", "default", "meaning"), _dataclass_rows(Backoff)),
        "",
        "## A worker",
        "",
        "Fields of `RuntimeConfig`, in seconds unless the name says otherwise. `streamapp run` uses"
        " the defaults; a program of your own gives `Service(..., config=RuntimeConfig(...))`.",
        "",
        *_table(("field", "type", "default", "meaning"), _dataclass_rows(RuntimeConfig)),
        "",
        "## Agents at work",
        "",
        "Fields of `Reassembly`, in seconds unless the name says otherwise: how agents of assembled"
        " pipelines are measured and replaced,"
        " see [Find agents and assemble pipelines](../how-to/registry.md#while-it-runs).",
        "",
        *_table(("field", "type", "default", "meaning"), _dataclass_rows(Reassembly)),
    )


def cli_reference() -> str:
    """The page on the command line, as Markdown."""
    lines = [
        "`streamapp` and `python -m streamapp` are the same. An error is one sentence on stderr;",
        "the [exit code](exit-codes.md) says its kind. Every command",
        "has `--help`; `streamapp --version` prints `streamapp` and the version.",
    ]
    for name in COMMANDS:
        for words, command in _commands(load(name), ("streamapp", name)):
            lines += ["", f"## {' '.join(words)}", "", *_command(words, command)]
    return _page("Command line", "cli", *lines)


def exit_codes_reference() -> str:
    """The page on exit codes, as Markdown."""
    return _page(
        "Exit codes",
        "exit-codes",
        "Every error is one sentence on stderr; the exit code says its kind. *Restart* is what to"
        " tell a service manager. After a *no* the same command fails again until somebody has"
        " acted: the supervisor of `run --workers` starts no worker again then, and the unit in"
        " `deploy/systemd` has these codes as `RestartPreventExitStatus`.",
        "",
        *_table(
            ("code", "name", "meaning", "restart"),
            (
                (f"{code.value}", f"`{code.name}`", code.meaning, code.restart.value)
                for code in ExitCode
            ),
        ),
        "",
        "What to do: [5](../how-to/handle-failures.md#stop-and-start-again),"
        " [9 and 10](../how-to/handle-failures.md#pass-what-cannot-be-read),"
        " [11](../how-to/rename-a-stage.md).",
    )


def _page(title: str, word: str, *lines: str) -> str:
    made = f"Generated by `python -m streamapp.cli.reference {word}`."
    return "\n".join((f"# {title}", "", made, "", *lines)) + "\n"


def _rows(model: type[BaseModel], shown: Callable[[str], str] = str) -> Iterator[Row]:
    meanings = attributes(model)
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        meaning = meanings[name] + "".join(f"; {bound}" for bound in _bounds(field))
        yield f"`{shown(name)}`", _type(field.annotation), _value(default), meaning


def _override_rows() -> Iterator[Row]:
    for variable, section, name in variables():
        model = SECTIONS[section]
        default = model.model_fields[name].default
        shown = f"`{str(default).lower()}`" if isinstance(default, bool) else _value(default)
        yield f"`{variable}`", shown, attributes(model)[name]


def _dataclass_rows(kind: type[Any]) -> Iterator[Row]:
    meanings = attributes(kind)
    for field in dataclasses.fields(kind):
        yield f"`{field.name}`", _type(field.type), _value(field.default), meanings[field.name]


def attributes(kind: type[Any]) -> Mapping[str, str]:
    """The text for each name in the section `Attributes:` of a class's docstring."""
    text = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")[2]
    text = re.split(r"\n\n|\n\S", text)[0]
    found: dict[str, str] = {}
    for names, meaning in re.findall(r"^    (\w[\w, ]*): (.+(?:\n {8}.+)*)", text, re.MULTILINE):
        for name in names.split(", "):
            found[name] = re.sub(r"\s+", " ", meaning).rstrip(".")
    return found


def _bounds(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        for name, words in _BOUNDS:
            if (bound := getattr(limit, name, None)) is not None:
                yield f"{words} {bound:g}"


def _type(annotation: Any) -> str:
    options = [option for option in get_args(annotation) if option is not type(None)]
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if get_origin(annotation) is tuple:
        of_numbers = get_args(annotation)[0] is float
        return "list of `float`" if of_numbers else "pairs of an exception type and a policy"
    if not options:
        return f"`{annotation.__name__}`" if inspect.isclass(annotation) else f"`{annotation}`"
    if all(isinstance(option, str) for option in options):
        return ", ".join(f"`{option}`" for option in options)
    return ", ".join(_type(option) for option in options)


def _value(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"`{value:_}`" if value >= 10_000 else f"`{value}`"  # noqa: PLR2004 - five digits
    if dataclasses.is_dataclass(value):
        return f"`{type(value).__name__}()`"
    return f"`{value}`"


def _commands(command: Any, words: Row) -> Iterator[tuple[Row, Any]]:
    subcommands: Mapping[str, Any] = getattr(command, "commands", {})
    if not subcommands:
        yield words, command
    for name, sub in subcommands.items():
        yield from _commands(sub, (*words, name))


def _command(words: Row, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [
        p
        for p in command.params
        if p.param_type_name == "option" and p.name != "help" and not p.hidden
    ]
    shown = "".join(f" {_argument(argument)}" for argument in arguments)
    yield from ("```", f"{' '.join(words)} [OPTIONS]{shown}", "```", "")
    yield re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.help))
    yield ""
    rows = [(f"`{_argument(argument)}`", argument.help, "") for argument in arguments]
    rows += [(_flags(option), _help(option), _default(option)) for option in options]
    yield from _table(("", "meaning", "default"), rows)


def _argument(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _flags(option: Any) -> str:
    flags = [*option.opts, *option.secondary_opts]
    metavar = (
        "" if option.is_flag else f" {option.metavar or option.name.upper().rpartition('_')[2]}"
    )
    return ", ".join(f"`{flag}{metavar}`" for flag in flags)


def _help(option: Any) -> str:
    text = re.sub(r"\s*\[default: .*\]$", "", option.help or "")
    if isinstance(option.default, Enum):
        names = ", ".join(f"`{member.value}`" for member in type(option.default))
        text += f" One of {names}."
    return f"{text} Or `{option.envvar}`." if option.envvar else text


def _default(option: Any) -> str:
    if found := re.search(r"\[default: (.*)\]$", option.help or ""):
        return found[1]
    value = option.default() if callable(option.default) else option.default
    if option.is_flag:
        return f"`{option.opts[0]}`" if value else ""
    missing = value is None or value in ((), []) or type(value).__name__ == "Sentinel"
    return "" if missing else f"`{getattr(value, 'value', value)}`"


def _table(head: Row, rows: Iterable[Row]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        cells = (re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row)
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the page that the first argument names."""
    pages = {
        "cli": cli_reference,
        "settings": settings_reference,
        "exit-codes": exit_codes_reference,
    }
    sys.stdout.write(pages[sys.argv[1]]())


if __name__ == "__main__":
    main()
