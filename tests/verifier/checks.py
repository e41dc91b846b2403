"""The checks: pure functions that compare sent and found records and return violations."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.verifier.ledger import LedgerError, Sent
from tests.verifier.seen import EVENT_ID, DeadLetter, Output, Place, Raw

ALERT_BELOW_QUALITY = 40
"""A scored event of less quality has an alert beside it."""

MAX_EXAMPLES = 5


class Violation(StrEnum):
    """What can be wrong."""

    LOST = "lost"  # sent and acknowledged, but neither an output nor a dead letter
    DUPLICATED = "duplicated"  # found more often than it was sent
    STRANGER = "stranger"  # found, but never sent
    MISPLACED = "misplaced"  # a good event in the dead letters, or a faulty one in the sink
    WRONG_REASON = "wrong reason"  # a dead letter of another stage or reason than expected
    ALTERED = "altered"  # a dead letter is not the original byte for byte
    INCONSISTENT = "inconsistent"  # key, header and value of an output tell different things
    OUT_OF_ORDER = "out of order"  # within a key
    ALERTS = "alerts"  # not exactly the poor ones
    TOO_FEW = "too few"  # less was sent than the test is meant for


@dataclass(slots=True)
class Findings:
    """What was found.

    Attributes:
        sent: acknowledged records.
        outputs: records in the sink.
        alerts: records in the alert topic.
        dead_letters: dead letters by stage and reason.
        duplicates: outputs and dead letters found once more than they were sent.
        counts: violations.
        examples: the first few of each.
    """

    sent: int = 0
    outputs: int = 0
    alerts: int = 0
    dead_letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    duplicates: int = 0
    counts: Counter[Violation] = field(default_factory=Counter)
    examples: defaultdict[Violation, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.counts.total()

    def add(self, violation: Violation, example: str, count: int = 1) -> None:
        """Note a violation."""
        self.counts[violation] += count
        if len(self.examples[violation]) < MAX_EXAMPLES:
            self.examples[violation].append(example)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is allowed.

    Attributes:
        max_duplicates: outputs and dead letters that may be there again; above zero, the order
            of a key is that of first occurrences, and an alert may be there again too.
        min_sent: fewer acknowledged records prove nothing.
    """

    max_duplicates: int = 0
    min_sent: int = 1


def verify(
    sent: Sequence[Sent],
    outputs: Sequence[Output],
    alerts: Sequence[Output],
    dead_letters: Sequence[DeadLetter],
    originals: Mapping[Place, Raw],
    terms: Terms,
) -> Findings:
    """Compare what was found with what was sent.

    Args:
        sent: the ledger.
        outputs: the sink, each partition in the order of its offsets.
        alerts: the alert topic.
        dead_letters: all dead-letter topics.
        originals: the records that the dead letters name as theirs.
        terms: what is allowed.

    Raises:
        LedgerError: the ledger is empty.
    """
    acknowledged = sum(one.acknowledged for one in sent)
    if not acknowledged:
        raise LedgerError("the ledger is empty: nothing was sent, so nothing can be verified")
    findings = Findings(sent=acknowledged, outputs=len(outputs), alerts=len(alerts))
    findings.dead_letters.update((letter.stage, letter.reason) for letter in dead_letters)
    if acknowledged < terms.min_sent:
        findings.add(Violation.TOO_FEW, f"{acknowledged} sent, at least {terms.min_sent} expected")
    _check_presence(findings, sent, outputs, dead_letters, terms)
    _check_consistency(findings, outputs)
    _check_order(findings, outputs, first_only=terms.max_duplicates > 0)
    _check_alerts(findings, outputs, alerts, repeated=terms.max_duplicates > 0)
    _check_reasons(findings, sent, dead_letters)
    _check_bytes(findings, sent, dead_letters, originals)
    return findings


def _check_presence(
    findings: Findings,
    sent: Iterable[Sent],
    outputs: Iterable[Output],
    dead_letters: Iterable[DeadLetter],
    terms: Terms,
) -> None:
    """Each acknowledged record once, on the right one of the two ways."""
    # What was not acknowledged may be there or not.
    least = (Counter[str](), Counter[str]())
    most = (Counter[str](), Counter[str]())
    for one in sent:
        way = one.dead_letter is not None
        most[way][one.event_id] += 1
        least[way][one.event_id] += one.acknowledged
    found = (
        Counter(output.event_id for output in outputs),
        Counter(letter.event_id for letter in dead_letters),
    )
    for event_id, count in (least[0] + least[1] - found[0] - found[1]).items():
        findings.add(Violation.LOST, event_id, count)
    repeated: list[str] = []
    for side, name in enumerate(("the sink", "the dead letters")):
        for event_id, count in (found[side] - most[side]).items():
            if event_id in most[side]:
                findings.duplicates += count
                repeated.append(event_id)
            elif event_id in most[1 - side]:
                findings.add(Violation.MISPLACED, f"{event_id} in {name}", count)
            else:
                findings.add(Violation.STRANGER, f"{event_id} in {name}", count)
    if findings.duplicates > terms.max_duplicates:
        findings.counts[Violation.DUPLICATED] = findings.duplicates
        findings.examples[Violation.DUPLICATED] = repeated[:MAX_EXAMPLES]


def _check_consistency(findings: Findings, outputs: Iterable[Output]) -> None:
    """Key and headers flow on with the value they belong to."""
    for output in outputs:
        if output.key != output.session_id or output.event_id != output.value_event_id:
            findings.add(
                Violation.INCONSISTENT,
                f"{_at(output.place)}: key {output.key} of session {output.session_id},"
                f" header {output.event_id} of event {output.value_event_id}",
            )


def _check_order(findings: Findings, outputs: Iterable[Output], *, first_only: bool) -> None:
    """Within a key: one partition, and sequence numbers that never fall."""
    last: dict[str, tuple[int, int]] = {}
    seen: set[str] = set()
    for output in outputs:
        if first_only and output.event_id in seen:
            continue
        seen.add(output.event_id)
        partition, sequence = last.get(output.key, (output.place[1], -1))
        if output.place[1] != partition:
            findings.add(
                Violation.OUT_OF_ORDER,
                f"{_at(output.place)}: key {output.key} stands in partition {partition} too",
            )
        elif output.sequence < sequence:
            findings.add(
                Violation.OUT_OF_ORDER,
                f"{_at(output.place)}: {output.event_id} comes after number {sequence}",
            )
        last[output.key] = (partition, max(sequence, output.sequence))


def _check_alerts(
    findings: Findings, outputs: Iterable[Output], alerts: Iterable[Output], *, repeated: bool
) -> None:
    """One alert for each poor output; where outputs may repeat, alerts may at other places."""
    poor = Counter(one.event_id for one in outputs if one.quality < ALERT_BELOW_QUALITY)
    found = Counter(one.event_id for one in alerts)
    if repeated:
        poor, found = Counter(set(poor)), Counter(set(found))
    for event_id, count in (poor - found).items():
        findings.add(Violation.ALERTS, f"{event_id} has none", count)
    for event_id, count in (found - poor).items():
        findings.add(Violation.ALERTS, f"{event_id} has one too many", count)


def _check_reasons(
    findings: Findings, sent: Iterable[Sent], dead_letters: Iterable[DeadLetter]
) -> None:
    expected = {one.event_id: one.dead_letter for one in sent}
    for letter in dead_letters:
        wanted = expected.get(letter.event_id)
        if wanted is not None and wanted != (letter.stage, letter.reason):
            findings.add(
                Violation.WRONG_REASON,
                f"{letter.event_id}: {letter.stage}/{letter.reason}, expected {'/'.join(wanted)}",
            )


def _check_bytes(
    findings: Findings,
    sent: Iterable[Sent],
    dead_letters: Iterable[DeadLetter],
    originals: Mapping[Place, Raw],
) -> None:
    """The record that a dead letter names has its bytes; key and headers are those we sent."""
    keys = {one.event_id: one.key.encode() for one in sent}
    for letter in dead_letters:
        if letter.raw != originals.get(letter.source):
            findings.add(
                Violation.ALTERED, f"{_at(letter.place)} is not what stands at {_at(letter.source)}"
            )
            continue
        headers = ((EVENT_ID, letter.event_id.encode()),)
        if letter.raw.headers != headers or letter.raw.key != keys.get(
            letter.event_id, letter.raw.key
        ):
            findings.add(Violation.ALTERED, f"{_at(letter.place)} has not the key and headers sent")


def _at(place: Place) -> str:
    topic, partition, offset = place
    return f"{topic}[{partition}]@{offset}"
