"""What is wrong, for people: the cause, its figures, since when, what to do, the next command."""

from collections.abc import Iterator, Sequence

from streamapp.observability.findings_report import FindingReport
from streamapp.observability.readable import age


def finding_lines(who: str, findings: Sequence[FindingReport], now: float) -> Iterator[str]:
    """Lines on what is wrong with a stage or a worker, the gravest first.

    Args:
        who: what it is wrong with.
        findings: what is wrong.
        now: seconds since the epoch.
    """
    for one in findings:
        since = "" if one.since is None else f", for {age(now - one.since)}"
        yield f"{who}: {one.level}: {one.cause}{since}: {one.evidence}"
        if one.advice:
            yield f"  {one.advice}"
        if one.command:
            yield f"  Next: {one.command}"
