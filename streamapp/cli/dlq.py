"""`streamapp dlq`: finds dead letters, and sends them back to their stages or discards them."""

from pathlib import Path
from typing import Annotated

import typer

from streamapp.cli.completion import complete_targets
from streamapp.cli.letter_options import LetterOptions
from streamapp.cli.option_groups import with_option_groups
from streamapp.cli.options import BootstrapServersOption, OutputOption
from streamapp.cli.sending_options import SendingOptions
from streamapp.letters.ledger import LetterState

app = typer.Typer(
    no_args_is_help=True, help="Find dead letters, send them back to their stages, or discard them."
)

TargetOption = Annotated[
    str | None,
    typer.Argument(
        metavar="MODULE:PIPELINE",
        autocompletion=complete_targets,
        help="A pipeline or bundle, whose dead-letter topics are read. By default those of --topic,"
        " or all topics whose names end in .dlq.",
    ),
]
SendTarget = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:PIPELINE",
        autocompletion=complete_targets,
        help="The pipeline or bundle as it is now: its code is asked whether it takes the letters.",
    ),
]
StateOption = Annotated[
    list[LetterState] | None,
    typer.Option("--state", help="Letters with which this was done; repeatable.  [default: open]"),
]
PayloadOption = Annotated[
    bool,
    typer.Option(
        "--show-payload",
        help="Show keys, values, contents of headers and messages of errors too: they may be"
        " secret.",
    ),
]
MessageOption = Annotated[
    bool,
    typer.Option("--show-payload", help="Show messages of errors too: they may quote payload."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Discard at most so many letters.")
]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do it; without this option it is only said what would be.")
]


@app.command("list")
@with_option_groups
def list_letters(
    target: TargetOption = None,
    *,
    letters: LetterOptions,
    state: StateOption = None,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Show at most so many, the first ones.")
    ] = 100,
    show_payload: PayloadOption = False,
    output: OutputOption = None,
) -> None:
    """List dead letters: where each stands, when and why it failed."""
    from streamapp.cli.asked_letters import Asked
    from streamapp.cli.shown_letters import print_letters

    print_letters(
        Asked(target, letters, state), most=most, show_payload=show_payload, output=output
    )


@app.command()
def show(
    address: Annotated[
        str, typer.Argument(metavar="TOPIC:PARTITION:OFFSET", help="Where the letter stands.")
    ],
    *,
    show_payload: PayloadOption = False,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = None,
) -> None:
    """Show one dead letter: all that its headers say, and what was done with it."""
    from streamapp.cli.shown_letters import print_letter

    print_letter(
        address, show_payload=show_payload, bootstrap_servers=bootstrap_servers, output=output
    )


@app.command()
@with_option_groups
def stats(
    target: TargetOption = None,
    *,
    letters: LetterOptions,
    state: StateOption = None,
    output: OutputOption = None,
) -> None:
    """Count dead letters by fingerprint: since when, until when, and how long they are kept."""
    from streamapp.cli.asked_letters import Asked
    from streamapp.cli.letter_stats import print_stats

    print_stats(Asked(target, letters, state), output=output)


@app.command()
@with_option_groups
def export(
    target: TargetOption = None,
    *,
    letters: LetterOptions,
    state: StateOption = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Write to this file.  [default: stdout]"),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the file if there is one already.")
    ] = False,
) -> None:
    """Write whole dead letters as JSON lines: text, and base64:BYTES of what is no UTF-8."""
    from streamapp.cli.asked_letters import Asked
    from streamapp.cli.exported_letters import export_letters

    export_letters(Asked(target, letters, state), to, replace=replace)


@app.command()
@with_option_groups
def replay(
    target: SendTarget,
    *,
    letters: LetterOptions,
    sending: SendingOptions,
    yes: YesOption = False,
) -> None:
    """Send dead letters back to the stage that gave them up, each of them once.

    First it tells how many the code takes now; those would be sent, and the others stay. With --yes
    they are sent to the replay topic of their stage, which nobody else reads. A replay that was
    interrupted goes on when it is called again.
    """
    from streamapp.cli.asked_letters import Asked
    from streamapp.cli.replayed_letters import replay_letters

    replay_letters(Asked(target, letters), sending, yes=yes)


@app.command()
@with_option_groups
def discard(
    target: TargetOption = None,
    *,
    why: Annotated[str, typer.Option("--why", help="The reason; it is kept in the ledger.")],
    letters: LetterOptions,
    limit: LimitOption = None,
    show_payload: MessageOption = False,
    yes: YesOption = False,
) -> None:
    """Mark dead letters as done with: they are kept, and not listed or sent any more."""
    from streamapp.cli.asked_letters import Asked
    from streamapp.cli.discarded_letters import discard_letters

    discard_letters(
        Asked(target, letters), why=why, limit=limit, show_payload=show_payload, yes=yes
    )
