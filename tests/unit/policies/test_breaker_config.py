"""Settings of a breaker."""

import math
from collections.abc import Mapping

import pytest

from streamapp.policies.breaker_config import BreakerConfig


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"window_seconds": 0}, "window_seconds must be a number of seconds above 0, not 0"),
        ({"window_seconds": math.nan}, "window_seconds must be a number of seconds above 0"),
        ({"first_probe_seconds": -1}, "first_probe_seconds must be a number of seconds above 0"),
        ({"longest_probe_seconds": math.inf}, "longest_probe_seconds must be a number of seconds"),
        ({"error_rate": 0}, "error_rate must be above 0 and at most 1, not 0"),
        ({"error_rate": 1.01}, r"error_rate must be above 0 and at most 1, not 1\.01"),
        ({"validation_rate": 0}, "validation_rate must be above 0"),
        ({"slow_seconds": 1, "slow_rate": 2}, "slow_rate must be above 0"),
        ({"slow_seconds": 0, "slow_rate": 1}, "slow_seconds must be a number of seconds above 0"),
        ({"slow_seconds": 1}, "slow_seconds and slow_rate go together"),
        ({"slow_rate": 0.5}, "slow_seconds and slow_rate go together"),
        ({"minimum_calls": 0}, "minimum_calls must be a whole number of at least 1, not 0"),
        ({"minimum_calls": 1.5}, "minimum_calls must be a whole number of at least 1"),
        ({"consecutive_failures": True}, "consecutive_failures must be a whole number"),
        ({"successes_to_close": 0}, "successes_to_close must be a whole number"),
        ({"distinct_keys": 0}, "distinct_keys must be a whole number"),
        ({"distinct_keys": 257}, "distinct_keys must be at most 256"),
        ({"distinct_share": 1}, "must be at least 0 and below 1, not 1"),
        ({"distinct_share": -0.1}, "must be at least 0 and below 1"),
        ({"window_calls": 19}, "window_calls is 19, so the minimum_calls of 20 would never be"),
        ({"window_calls": 99.5}, "window_calls must be a whole number"),
        ({"probe_multiplier": 0.9}, r"probe_multiplier must be at least 1, not 0\.9"),
        ({"probe_multiplier": math.nan}, "probe_multiplier must be at least 1"),
        ({"first_probe_seconds": 20}, r"longest_probe_seconds is 15\.0, which is below"),
    ],
)
def test_a_value_out_of_range_is_refused(settings: Mapping[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=f"^breaker: .*{told}"):
        BreakerConfig(**settings)  # type: ignore[arg-type]  # wrong types are a part of the test


def test_the_ends_of_the_ranges_are_allowed() -> None:
    BreakerConfig(
        window_calls=1,
        error_rate=1,
        minimum_calls=1,
        consecutive_failures=1,
        slow_seconds=0.001,
        slow_rate=1,
        validation_rate=1,
        distinct_keys=1,
        distinct_share=0,
        first_probe_seconds=1,
        longest_probe_seconds=1,
        probe_multiplier=1,
        successes_to_close=1,
    )
    assert BreakerConfig(distinct_keys=256).distinct_keys == 256


def test_without_settings_a_record_alone_opens_the_breaker_before_its_attempts_are_used_up() -> (
    None
):
    config = BreakerConfig()
    assert config.consecutive_failures == 4
    assert (config.window_seconds, config.window_calls, config.minimum_calls) == (30.0, 1_000, 20)
    assert (config.error_rate, config.distinct_keys, config.distinct_share) == (0.5, 20, 0.5)
    assert (config.first_probe_seconds, config.longest_probe_seconds) == (1.0, 15.0)
    assert (config.probe_multiplier, config.successes_to_close) == (2.0, 3)
