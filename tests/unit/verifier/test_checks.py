"""Each violation, planted alone into a clean run, is found and nothing else is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.verifier.__main__ import report
from tests.verifier.checks import Findings, Terms, Violation, verify
from tests.verifier.ledger import LedgerError, Sent
from tests.verifier.seen import DeadLetter, Output, Place, Raw

DEAD = ("validate", "decode")


@dataclass(slots=True)
class Run:
    """A clean run: two sessions of five events, one sent twice, one poor, one faulty each."""

    sent: list[Sent] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    alerts: list[Output] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    originals: dict[Place, Raw] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for partition, key in enumerate(("a", "b")):
            for sequence in (0, 1, 1, 2, 3):  # the second 1 is the first one, sent again
                self.sent.append(Sent(f"{key}-{sequence}", key))
                quality = 10 if sequence == 2 else 90
                self.outputs.append(output(key, sequence, partition, len(self.outputs), quality))
            self.alerts.append(output(key, 2, partition, 0, 10))
            self.sent.append(Sent(f"{key}-4", key, dead_letter=DEAD))
            raw = Raw(key.encode(), b"{", (("event-id", f"{key}-4".encode()),))
            source = ("raw", partition, 5)
            self.letters.append(DeadLetter(("dlq", 0, partition), f"{key}-4", *DEAD, source, raw))
            self.originals[source] = raw

    def verify(self, terms: Terms | None = None) -> Findings:
        return verify(
            self.sent,
            self.outputs,
            self.alerts,
            self.letters,
            self.originals,
            terms or Terms(),
        )


def output(key: str, sequence: int, partition: int, offset: int, quality: int = 90) -> Output:
    event_id = f"{key}-{sequence}"
    place = ("sink", partition, offset)
    return Output(place, key, event_id, event_id, key, sequence, quality)


def lose_an_output(run: Run) -> None:
    del run.outputs[0]


def lose_one_of_two_sends(run: Run) -> None:
    del run.outputs[1]


def lose_a_dead_letter(run: Run) -> None:
    del run.letters[0]


def repeat_an_output(run: Run) -> None:
    run.outputs.insert(1, run.outputs[0])


def repeat_a_dead_letter(run: Run) -> None:
    run.letters.append(run.letters[0])


def swap_a_pair(run: Run) -> None:
    run.outputs[3], run.outputs[4] = run.outputs[4], run.outputs[3]


def split_a_key(run: Run) -> None:
    run.outputs[4] = replace(run.outputs[4], place=("sink", 1, 99))


def add_a_stranger(run: Run) -> None:
    run.outputs.append(output("c", 0, 0, 99))


def add_a_strange_dead_letter(run: Run) -> None:
    run.letters.append(replace(run.letters[0], event_id="c-0"))
    strange = replace(run.letters[0].raw, headers=(("event-id", b"c-0"),))
    run.letters[-1] = replace(run.letters[-1], raw=strange, source=("raw", 0, 9))
    run.originals["raw", 0, 9] = strange


def let_a_faulty_one_through(run: Run) -> None:
    del run.letters[0], run.originals["raw", 0, 5]
    run.outputs.append(output("a", 4, 0, 99))


def change_the_reason(run: Run) -> None:
    run.letters[0] = replace(run.letters[0], reason="permanent")


def change_the_stage(run: Run) -> None:
    run.letters[0] = replace(run.letters[0], stage="enrich")


def alter_the_value(run: Run) -> None:
    run.letters[0] = replace(run.letters[0], raw=replace(run.letters[0].raw, value=b"{}"))


def alter_the_key(run: Run) -> None:
    run.letters[0] = replace(run.letters[0], raw=replace(run.letters[0].raw, key=None))


def add_a_header(run: Run) -> None:
    raw = run.letters[0].raw
    run.letters[0] = replace(
        run.letters[0], raw=replace(raw, headers=(*raw.headers, ("more", b"")))
    )


def alter_a_header_before_the_stage(run: Run) -> None:
    raw = replace(run.letters[0].raw, headers=(("event-id", b"a-4"), ("more", b"")))
    run.letters[0] = replace(run.letters[0], raw=raw)
    run.originals[run.letters[0].source] = raw


def name_a_record_that_is_not_there(run: Run) -> None:
    del run.originals["raw", 0, 5]


def lose_an_alert(run: Run) -> None:
    del run.alerts[0]


def raise_an_alert_twice(run: Run) -> None:
    run.alerts.append(run.alerts[0])


def raise_a_needless_alert(run: Run) -> None:
    run.alerts.append(run.outputs[0])


def swap_headers(run: Run) -> None:
    run.outputs[0] = replace(run.outputs[0], value_event_id="a-9")


def swap_keys(run: Run) -> None:
    run.outputs[0] = replace(run.outputs[0], key="z")


PLANTED: list[tuple[Callable[[Run], None], Violation]] = [
    (lose_an_output, Violation.LOST),
    (lose_one_of_two_sends, Violation.LOST),
    (lose_a_dead_letter, Violation.LOST),
    (repeat_an_output, Violation.DUPLICATED),
    (repeat_a_dead_letter, Violation.DUPLICATED),
    (swap_a_pair, Violation.OUT_OF_ORDER),
    (split_a_key, Violation.OUT_OF_ORDER),
    (add_a_stranger, Violation.STRANGER),
    (add_a_strange_dead_letter, Violation.STRANGER),
    (let_a_faulty_one_through, Violation.MISPLACED),
    (change_the_reason, Violation.WRONG_REASON),
    (change_the_stage, Violation.WRONG_REASON),
    (alter_the_value, Violation.ALTERED),
    (alter_the_key, Violation.ALTERED),
    (add_a_header, Violation.ALTERED),
    (alter_a_header_before_the_stage, Violation.ALTERED),
    (name_a_record_that_is_not_there, Violation.ALTERED),
    (lose_an_alert, Violation.ALERTS),
    (raise_an_alert_twice, Violation.ALERTS),
    (raise_a_needless_alert, Violation.ALERTS),
    (swap_headers, Violation.INCONSISTENT),
    (swap_keys, Violation.INCONSISTENT),
]


def test_a_clean_run_has_no_violation() -> None:
    findings = Run().verify(Terms(min_sent=12))

    assert findings.ok
    assert (findings.sent, findings.outputs, findings.alerts) == (12, 10, 2)
    assert findings.dead_letters == {DEAD: 2}


@pytest.mark.parametrize(
    ("plant", "violation"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED]
)
def test_a_planted_violation_is_found(plant: Callable[[Run], None], violation: Violation) -> None:
    run = Run()
    plant(run)

    findings = run.verify()

    # One fault can show in an alert or a key as well, but it has to be called what it is.
    assert violation in findings.counts
    assert findings.examples[violation]
    assert not findings.ok


def test_no_two_faults_are_called_the_same_by_chance() -> None:
    run = Run()
    change_the_reason(run)

    assert run.verify().counts == {Violation.WRONG_REASON: 1}


def test_repeated_records_are_allowed_up_to_the_bound_and_keep_the_order_of_the_first() -> None:
    run = Run()
    run.outputs[2:2] = run.outputs[:2]  # a replay of the first two

    within = run.verify(Terms(max_duplicates=2))

    assert within.ok
    assert within.duplicates == 2
    beyond = run.verify(Terms(max_duplicates=1))
    assert set(beyond.counts) == {Violation.DUPLICATED}
    assert any("--max-duplicates 2 accepts these" in line for line in report(beyond))
    assert not any("--max-duplicates" in line for line in report(within))


def test_a_swapped_pair_is_found_where_duplicates_are_allowed() -> None:
    run = Run()
    swap_a_pair(run)

    assert set(run.verify(Terms(max_duplicates=5)).counts) == {Violation.OUT_OF_ORDER}


def test_a_lost_record_is_not_made_good_by_a_repeated_one() -> None:
    run = Run()
    run.outputs[0] = run.outputs[3]

    counts = run.verify(Terms(max_duplicates=5)).counts

    assert counts[Violation.LOST] == 1


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    run = Run()
    run.sent.append(Sent("a-3", "a", acknowledged=False))
    absent = run.verify()
    run.outputs.insert(5, run.outputs[4])
    present = run.verify()

    assert absent.ok
    assert present.ok


def test_too_few_records_prove_nothing() -> None:
    assert set(Run().verify(Terms(min_sent=13)).counts) == {Violation.TOO_FEW}


def test_an_empty_ledger_is_refused() -> None:
    with pytest.raises(LedgerError):
        verify([], [], [], [], {}, Terms())
