"""`python -m tests.verifier LEDGER`: checks that all records of the playback pipeline were
delivered.

It shares no code with the runtime that it checks. Exits with 1 when anything is wrong, and with
2 when it could not check.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from aiokafka.errors import KafkaError

from tests.verifier.checks import Findings, Terms, Violation, verify
from tests.verifier.drain import drain, originals
from tests.verifier.ledger import LedgerError, Sent, read_ledger
from tests.verifier.seen import dead_letter_of, output_of

SINK = "playback.scored"
ALERTS = "playback.alerts"
DEAD_LETTERS = tuple(
    f"playback-quality.{stage}.dlq" for stage in ("validate", "enrich", "score", "route")
)


async def verify_topics(
    bootstrap_servers: str,
    sent: Sequence[Sent],
    terms: Terms,
    *,
    sink: str = SINK,
    alerts: str = ALERTS,
    dead_letters: Sequence[str] = DEAD_LETTERS,
) -> Findings:
    """Drain the topics and compare them with what was sent.

    Raises:
        LedgerError: nothing was sent.
        LookupError: a topic is missing.
        ValueError, KeyError: a record cannot be read.
    """
    outputs = [output_of(one) async for one in drain(bootstrap_servers, sink)]
    raised = [output_of(one) async for one in drain(bootstrap_servers, alerts)]
    letters = [
        dead_letter_of(one)
        for topic in dead_letters
        async for one in drain(bootstrap_servers, topic)
    ]
    named = await originals(bootstrap_servers, [letter.source for letter in letters])
    return verify(sent, outputs, raised, letters, named, terms)


def report(findings: Findings) -> Iterator[str]:
    """Tell what was found, line by line."""
    yield f"sent and acknowledged  {findings.sent:>10,}"
    yield f"outputs                {findings.outputs:>10,}"
    yield f"alerts                 {findings.alerts:>10,}"
    yield f"dead letters           {findings.dead_letters.total():>10,}"
    for (stage, reason), count in sorted(findings.dead_letters.items()):
        yield f"  {stage + ' / ' + reason:<20} {count:>10,}"
    yield f"repeated               {findings.duplicates:>10,}"
    yield f"violations             {findings.counts.total():>10,}"
    for violation, count in findings.counts.items():
        yield f"  {violation:<20} {count:>10,}"
        yield from (f"    {example}" for example in findings.examples[violation])
    if Violation.DUPLICATED in findings.counts:
        yield (
            "duplicates are expected after a kill, up to a second's work of each stage:"
            f" --max-duplicates {findings.duplicates} accepts these"
        )
    yield "every record accounted for" if findings.ok else "NOT as it should be"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.verifier", description=__doc__)
    parser.add_argument("ledger", type=Path, help="written by `streamapp generate --ledger`")
    servers = os.environ.get("STREAMAPP_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    parser.add_argument("--bootstrap-servers", default=servers)
    parser.add_argument("--sink", default=SINK)
    parser.add_argument("--alerts", default=ALERTS)
    parser.add_argument("--dead-letters", nargs="+", default=DEAD_LETTERS, metavar="TOPIC")
    parser.add_argument(
        "--max-duplicates", type=int, default=0, metavar="RECORDS", help="may repeat"
    )
    parser.add_argument("--min-sent", type=int, default=1, metavar="RECORDS")
    return parser.parse_args()


def main() -> int:
    """Verify and report; returns the exit code."""
    args = _arguments()
    try:
        findings = asyncio.run(
            verify_topics(
                args.bootstrap_servers,
                read_ledger(args.ledger),
                Terms(max_duplicates=args.max_duplicates, min_sent=args.min_sent),
                sink=args.sink,
                alerts=args.alerts,
                dead_letters=args.dead_letters,
            )
        )
    except (LedgerError, OSError, LookupError, ValueError, KafkaError) as error:
        sys.stderr.write(f"cannot verify: {error}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in report(findings))
    return 0 if findings.ok else 1


if __name__ == "__main__":
    sys.exit(main())
