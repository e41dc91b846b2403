"""How many calls a breaker that is not closed may let through."""

from streamapp.policies.breaker_config import BreakerConfig


def most_probes(config: BreakerConfig, seconds: float) -> int:
    """So many probes begin within this time if each wait is as short as it may be drawn."""
    wait, longest = config.first_probe_seconds / 2, config.longest_probe_seconds / 2
    count, at = 0, wait
    while at <= seconds:
        count += 1
        wait = min(longest, wait * config.probe_multiplier)
        at += wait
    return count
