from collections import Counter

import pytest

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.cli.demo_accounts import Accounts
from streamapp.cli.demo_outage import Outage
from streamapp.cli.demo_summary import summary
from streamapp.clock import SystemClock
from streamapp.examples.playback.catalog import TitleCatalog
from streamapp.examples.playback.generator import EventKind
from streamapp.examples.playback.pipeline import pipeline
from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics
from streamapp.pipeline.topology import build


@pytest.fixture
def accounts() -> Accounts:
    """Books that balance."""
    accounts = Accounts(MemoryBroker(SystemClock()), build(pipeline))
    kinds = {EventKind.GOOD: 95, EventKind.LATE: 1, EventKind.MALFORMED: 2}
    accounts.add_generated(Counter(kinds).elements())
    accounts.add_generated([EventKind.UNKNOWN_TITLE, EventKind.MISSING_FIELD])
    accounts.records_in, accounts.scored, accounts.alerts = 100, 96, 5
    accounts.dead_letters.update(
        {
            ("validate", DeadLetterReason.DECODE): 3,
            ("enrich", DeadLetterReason.PERMANENT): 1,
        }
    )
    accounts.seconds = 2.0
    return accounts


def test_books_that_balance_are_said_to(accounts: Accounts) -> None:
    text = "\n".join(summary(accounts))
    assert accounts.complete
    assert "100 records went through 4 stages in 2.0 s: 50 records/s" in text
    assert "Everything is accounted for: 100 generated, 96 scored + 4 dead letters" in text


def test_a_lost_record_is_found(accounts: Accounts) -> None:
    accounts.scored -= 1
    assert not accounts.complete
    assert "NOT everything is accounted for: 100 generated, 95 scored" in "\n".join(
        summary(accounts)
    )


def test_a_record_that_never_reached_its_topic_is_found(accounts: Accounts) -> None:
    accounts.records_in -= 1
    assert not accounts.complete


def test_dead_letters_that_were_not_to_be_are_found_and_named(accounts: Accounts) -> None:
    accounts.dead_letters["score", DeadLetterReason.FAILED] += 1
    accounts.scored -= 1
    assert not accounts.complete
    assert "  score, failed: 1 dead letter, 0 expected" in summary(accounts)


def test_a_single_dead_letter_is_told_as_one(accounts: Accounts) -> None:
    accounts.dead_letters.clear()
    accounts.dead_letters["enrich", DeadLetterReason.PERMANENT] = 1
    text = "\n".join(summary(accounts))
    assert "          1  dead letter, kept with the reason" in text
    assert "scored + 1 dead letter." in text


def test_the_outage_is_advised_only_where_none_was_shown(accounts: Accounts) -> None:
    advice = "  streamapp demo --outage "
    assert advice in "\n".join(summary(accounts))
    stage = StageMetrics("p", "enrich", "in")
    accounts.outage = Outage(TitleCatalog([]), stage, SystemClock(), print)
    assert advice not in "\n".join(summary(accounts))
