"""The lines that the demo prints at its end, for readers who do not know the project."""

from collections.abc import Iterator

from streamapp.cli.demo_accounts import Accounts
from streamapp.examples.playback.generator import EventKind
from streamapp.examples.playback.pipeline import ALERTS, SCORED, SOURCE
from streamapp.observability.readable import counted
from streamapp.observability.stage_metrics import DeadLetterReason

_MEANINGS = {
    DeadLetterReason.DECODE: "bytes that are not JSON, or lack a field that the schema needs",
    DeadLetterReason.PERMANENT: "the agent says the record is at fault, such as an unknown title",
    DeadLetterReason.EXHAUSTED: "every attempt failed",
    DeadLetterReason.FAILED: "the attempt failed, and the policy does not retry",
    DeadLetterReason.TIMEOUT: "the last attempt took too long",
    DeadLetterReason.OUTPUT: "an output does not fit its topic",
}

_OUTAGE = "  streamapp demo --outage                   shows what happens while a service is down"
_NEXT = (
    "Where to look next:",
    "  streamapp/examples/playback/pipeline.py   the pipeline, in a few lines",
    _OUTAGE,
    "  streamapp demo --forever                  keeps running; open its status page meanwhile",
    "  streamapp broker up --port 9092           a real Kafka on this machine, then",
    "    streamapp topics apply",
    "    streamapp generate --records 200000",
    "    streamapp run streamapp.examples.playback.pipeline:pipeline --until-end",
    "  README.md                                 the rest",
)


def summary(accounts: Accounts) -> list[str]:
    """The lines that the demo prints at its end."""
    further = [line for line in _NEXT if line != _OUTAGE or accounts.outage is None]
    return ["", *_figures(accounts), "", *_account(accounts), "", *further]


def _figures(accounts: Accounts) -> Iterator[str]:
    seconds = accounts.seconds
    per_second = accounts.records_in / seconds if seconds else 0
    yield (
        f"{accounts.records_in:,} records went through {accounts.stages} stages in"
        f" {seconds:,.1f} s: {per_second:,.0f} records/s in one process."
    )
    yield f"  {accounts.records_in:>11,}  events read from {SOURCE.name}"
    yield f"  {accounts.scored:>11,}  scored, in {SCORED.name}"
    yield f"  {accounts.alerts:>11,}  of these of poor quality, raised in {ALERTS.name} as well"
    total = accounts.dead_letters.total()
    letters = "dead letter" if total == 1 else "dead letters"
    yield f"  {total:>11,}  {letters}, kept with the reason in a header:"
    for (stage, reason), count in sorted(accounts.dead_letters.items()):
        yield f"  {count:>11,}    {stage}, {reason}: {_MEANINGS[reason]}"
    yield (
        f"The generator also sent {accounts.kinds[EventKind.DUPLICATE]:,} events twice and"
        f" {accounts.kinds[EventKind.LATE]:,} late; they are scored like any other."
    )


def _account(accounts: Accounts) -> Iterator[str]:
    letters = accounts.dead_letters
    equation = (
        f"{accounts.generated:,} generated, {accounts.scored:,} scored"
        f" + {counted(letters.total(), 'dead letter')}"
    )
    if accounts.complete:
        yield f"Everything is accounted for: {equation},"
        yield "each of which the generator broke on purpose."
        if accounts.outage is not None and accounts.outage.held_seconds:
            yield (
                "While the title catalogue was down, and until that was seen, records were held for"
                f" {accounts.outage.held_seconds:.1f} s;"
            )
            yield "none of them was lost or became a dead letter."
        return
    yield f"NOT everything is accounted for: {equation}."
    for kind in sorted(letters.keys() | accounts.expected_dead_letters.keys()):
        expected = accounts.expected_dead_letters[kind]
        if letters[kind] != expected:
            found = counted(letters[kind], "dead letter")
            yield f"  {kind[0]}, {kind[1]}: {found}, {expected:,} expected"
