"""Words and colours of values that stand for words."""

from collections.abc import Mapping

LEVELS: Mapping[int, tuple[str, str]] = {
    0: ("well", "green"),
    1: ("attention", "yellow"),
    2: ("unknown", "purple"),
    3: ("failing", "red"),
}
"""Levels of stages, as `promql.level` numbers them."""

UP: Mapping[int, tuple[str, str]] = {0: ("does not answer", "red"), 1: ("up", "green")}
"""Whether a worker answers."""
