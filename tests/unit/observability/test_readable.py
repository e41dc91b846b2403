import pytest

from streamapp.observability.readable import (
    age,
    amount,
    bytes_amount,
    counted,
    duration,
    per_second,
    share,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (59.4, "59 s"),
        (61, "1 min 1 s"),
        (3_600, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_an_age_has_the_precision_of_its_length(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(15e-6, "15 µs"), (0.0634, "63 ms"), (1.048575, "1.05 s")],
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_and_sizes() -> None:
    assert amount(1_234_567) == "1,234,567"
    assert [bytes_amount(n) for n in (0, 1_023, 1_536, 5 << 20, 3 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5 MiB",
        "3.0 GiB",
    ]


def test_one_thing_has_no_plural() -> None:
    assert [counted(n, "probe") for n in (0, 1, 2048)] == ["0 probes", "1 probe", "2,048 probes"]


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0, "0/s"), (0.25, "0.25/s"), (3.21, "3.2/s"), (1234.4, "1,234/s"), (-0.5, "-0.5/s")],
)
def test_a_rate_has_two_digits_that_can_be_seen(rate: float, text: str) -> None:
    assert per_second(rate) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0 %"), (0.004, "0.4 %"), (0.0111, "1.1 %"), (0.37, "37 %"), (1, "100 %")],
)
def test_a_share_is_told_in_hundredths(ratio: float, text: str) -> None:
    assert share(ratio) == text
