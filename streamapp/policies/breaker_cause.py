"""Why a breaker is open."""

from dataclasses import dataclass
from enum import StrEnum

from streamapp.policies.fault import Fault


class Rule(StrEnum):
    """The rule that opened a breaker."""

    ERROR_RATE = "error_rate"
    CONSECUTIVE_FAILURES = "consecutive_failures"
    SLOW_RATE = "slow_rate"
    VALIDATION_RATE = "validation_rate"
    DISTINCT_KEYS = "distinct_keys"
    ALL_MEMBERS_OPEN = "all_members_open"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a breaker is not closed.

    Attributes:
        rule: the rule that opened it.
        error: name of the class of the latest error that did; never its text, which may be long and
            tell secrets. `None` for slow calls.
    """

    rule: Rule
    error: str | None = None

    def blames(self, fault: Fault) -> bool:
        """Whether a failure through this fault is of the kind that the rule is about."""
        if self.rule is Rule.DISTINCT_KEYS:
            return fault is not Fault.RECORD
        if self.rule is Rule.VALIDATION_RATE:
            return fault is not Fault.UNKNOWN
        return fault is Fault.WORLD

    def __str__(self) -> str:
        return f"{self.rule} ({self.error})" if self.error else str(self.rule)

    @property
    def in_words(self) -> str:
        """The same as a clause for operators."""
        return _CLAUSES[self.rule].format(error=self.error)


_CLAUSES = {
    Rule.ERROR_RATE: "a large share of the attempts fail, now with {error}",
    Rule.CONSECUTIVE_FAILURES: "one attempt after the other fails, now with {error}",
    Rule.SLOW_RATE: "a large share of the attempts are slow",
    Rule.VALIDATION_RATE: "a large share of the records are at fault, now with {error}",
    Rule.DISTINCT_KEYS: "most keys fail, now with {error} (what the agent depends on is down, or"
    " it has a bug)",
    Rule.ALL_MEMBERS_OPEN: "no member of the pool takes calls",
}
