import pytest
import typer

from streamapp.cli.pace import Pace, checked_amount
from tests.hand_clock import HandClock


def test_a_number_of_records_is_taken_and_no_more() -> None:
    pace = Pace(HandClock(), records=12)
    assert [pace.take(5) for _ in range(4)] == [5, 5, 2, 0]
    assert pace.over
    assert pace.taken == 12


def test_time_ends_it() -> None:
    clock = HandClock()
    pace = Pace(clock, seconds=2)
    assert pace.take(7) == 7
    clock.advance(2)
    assert pace.over
    assert pace.take(7) == 0


def test_a_rate_is_kept_over_time() -> None:
    clock = HandClock()
    pace = Pace(clock, per_second=10)
    assert pace.take(100) == 1  # the first one is due at once
    assert pace.take(100) == 0
    clock.advance(0.5)
    assert pace.take(100) == 5
    clock.advance(60)
    assert pace.take(100) == 100
    assert pace.take(1000) == 500
    assert not pace.over


def test_somebody_can_end_it() -> None:
    pace = Pace(HandClock())
    pace.stop()
    assert pace.over
    assert pace.take(1) == 0


@pytest.mark.parametrize(
    ("records", "seconds", "forever", "default", "amount"),
    [
        (None, None, False, 100, 100),
        (7, None, False, 100, 7),
        (None, 3.0, False, 100, None),
        (7, 3.0, False, 100, 7),
        (None, None, True, 100, None),
    ],
)
def test_options_say_how_much(
    *, records: int | None, seconds: float | None, forever: bool, default: int, amount: int | None
) -> None:
    assert amount == checked_amount(
        records=records, seconds=seconds, forever=forever, default_records=default
    )


def test_options_that_contradict_or_say_nothing_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="--forever cannot be combined"):
        checked_amount(records=1, seconds=None, forever=True, default_records=None)
    with pytest.raises(typer.BadParameter, match="give --records, --seconds or --forever"):
        checked_amount(records=None, seconds=None, forever=False, default_records=None)
