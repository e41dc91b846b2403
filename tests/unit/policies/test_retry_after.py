"""How long an error asks to be left alone."""

import math
from datetime import timedelta

import pytest

from streamapp.policies.retry_after import retry_after_seconds


class BusyError(Exception):
    def __init__(self, retry_after: object) -> None:
        super().__init__()
        self.retry_after = retry_after


class HostileError(Exception):
    @property
    def retry_after(self) -> float:
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        (timedelta(minutes=2), 120.0),
        (-3, 0.0),
        (1e9, 3600.0),
        (math.inf, 3600.0),
        (math.nan, 0.0),
        ("17", 0.0),
        (None, 0.0),
    ],
)
def test_seconds_that_are_usable_count_up_to_an_hour(asked: object, seconds: float) -> None:
    assert retry_after_seconds(BusyError(asked)) == seconds


def test_an_error_that_asks_for_nothing_or_cannot_be_asked_gives_zero() -> None:
    assert retry_after_seconds(TimeoutError()) == 0.0
    assert retry_after_seconds(HostileError()) == 0.0
