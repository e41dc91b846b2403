"""The options that say how dead letters are sent back."""

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True)
class SendingOptions:
    """How letters are sent, as it stands on the command line.

    Attributes:
        again: ids of replays that are sent once more; nothing else is then.
        to_stage: to which stage all of them go; `None` for the one that each of them names.
        tries: whether the preview calls agents.
        even_failing: whether letters are sent that the code does not take.
        rate: letters a second; `None` for as many as can be sent.
        limit: most letters.
        max_replays: a letter that was sent back so often is quarantined.
        wait: how many seconds the stages are waited for; `None` for not at all.
        show_payload: whether messages of errors are told.
    """

    again: Annotated[
        list[str] | None,
        typer.Option(
            "--again",
            metavar="REPLAY",
            help="Send once more what this replay sent, and nothing else; repeatable. Its id is"
            " told when it sends, and by `dlq list --state replayed --output json`.",
        ),
    ] = None
    to_stage: Annotated[
        str | None,
        typer.Option(
            "--to-stage",
            help="Send all of them to this stage: letters that other systems wrote name none.",
        ),
    ] = None
    tries: Annotated[
        bool,
        typer.Option(
            "--try",
            help="Call the agents in the preview, with all that they do to the world. Without this"
            " option it is only looked at whether they can read the letters.",
        ),
    ] = False
    even_failing: Annotated[
        bool,
        typer.Option(
            "--even-failing",
            help="Send also letters that the code does not take, by the preview. Without this"
            " option they stay.",
        ),
    ] = False
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.001, help="Letters a second.  [default: as fast as possible]"),
    ] = None
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Send at most so many letters.")
    ] = None
    max_replays: Annotated[
        int,
        typer.Option(
            "--max-replays",
            min=1,
            help="Quarantine a letter whose record was sent back so often already.",
        ),
    ] = 3
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=0,
            help="Then wait so long for the stages, and tell what has become of the letters.",
        ),
    ] = None
    show_payload: Annotated[
        bool,
        typer.Option("--show-payload", help="Show messages of errors too: they may quote payload."),
    ] = False
