"""Rules: what a value at a path has to be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from operator import ge, gt, le, lt
from typing import Any, Self, TypeAlias

from pydantic import Field, JsonValue, model_validator

from streamapp.agents.configuration import AgentConfiguration
from streamapp.agents.kinds import MISSING, UnfitError, are_same, is_number, kind_of
from streamapp.agents.paths import OnePathText, path
from streamapp.agents.patterns import matcher
from streamapp.errors import Permanent


class Operator(StrEnum):
    """How a rule compares what is found at its path with its own value."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    LESS_THAN = "less_than"
    AT_MOST = "at_most"
    MORE_THAN = "more_than"
    AT_LEAST = "at_least"
    ONE_OF = "one_of"
    NONE_OF = "none_of"
    MATCHES = "matches"
    EXISTS = "exists"
    ABSENT = "absent"


class Match(StrEnum):
    """How many of several rules have to hold."""

    ALL = "all"
    ANY = "any"


class Rule(AgentConfiguration):
    """What a value at a path has to be.

    A value that is not there equals nothing. To compare it by size or with a pattern is a fault,
    and so is a value of another kind; in a list of rules, an earlier one may ask for it.

    Attributes:
        path: path to one value.
        operator: how it is compared.
        value: what it is compared with; a list for `one_of` and `none_of`, a number or a text for
            an order, a regular expression for `matches`, nothing for `exists` and `absent`.
    """

    path: OnePathText
    operator: Operator
    value: JsonValue = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        operator, value = self.operator, self.value
        is_given = "value" in self.model_fields_set
        if operator in (Operator.EXISTS, Operator.ABSENT):
            if is_given:
                raise ValueError(f"'{operator}' takes no value; drop it")
        elif not is_given:
            raise ValueError(f"'{operator}' compares with a value; add it")
        if operator in (Operator.ONE_OF, Operator.NONE_OF) and not isinstance(value, list):
            raise ValueError(f"'{operator}' takes a list of values, not {kind_of(value)}")
        if operator in _ORDER and not (is_number(value) or isinstance(value, str)):
            raise ValueError(f"'{operator}' takes a number or a text, not {kind_of(value)}")
        if operator is Operator.MATCHES:
            if not isinstance(value, str):
                raise ValueError(f"'matches' takes a regular expression, not {kind_of(value)}")
            matcher(value)
        return self


class Condition(AgentConfiguration):
    """Rules of which all have to hold, or one.

    Attributes:
        rules: the rules; they are asked one after the other until the answer is certain.
        match: `all` or `any`.
    """

    rules: tuple[Rule, ...] = Field(min_length=1)
    match: Match = Match.ALL


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a rule does not hold.

    Attributes:
        why: one sentence that begins with the path.
        is_unfit: whether the value could not be compared at all.
    """

    why: str
    is_unfit: bool = False


Compare: TypeAlias = Callable[[Any], str | None]
"""Says why a value does not fit, `None` if it does; an `UnfitError` if it cannot be compared."""


class Check:
    """A rule, ready to be asked."""

    def __init__(self, rule: Rule) -> None:
        self._path = path(rule.path)
        self._compare: Compare = partial(_COMPARE[rule.operator], rule.value)
        if rule.operator is Operator.MATCHES:
            self._compare = partial(_matches, matcher(str(rule.value)))

    def broken(self, value: Any) -> Broken | None:
        """Why the rule does not hold; `None` if it does."""
        try:
            why = self._compare(self._path.get(value))
        except UnfitError as error:
            return Broken(f"{self._path.text} is {error}", is_unfit=True)
        return None if why is None else Broken(f"{self._path.text} {why}")

    def holds(self, value: Any) -> bool:
        """Whether the rule holds.

        Raises:
            Permanent: what it asks for cannot be compared.
        """
        broken = self.broken(value)
        if broken is not None and broken.is_unfit:
            raise Permanent(broken.why)
        return broken is None


class Conditions:
    """A condition, ready to be asked."""

    def __init__(self, condition: Condition) -> None:
        self._checks = [Check(rule) for rule in condition.rules]
        self._decide = all if condition.match is Match.ALL else any

    def hold(self, value: Any) -> bool:
        """Whether all of the rules hold, or one of them.

        Raises:
            Permanent: what a rule asks for cannot be compared.
        """
        return self._decide(check.holds(value) for check in self._checks)


def _equals(wanted: Any, found: Any) -> str | None:
    return None if are_same(wanted, found) else "is not what it has to be"


def _not_equals(unwanted: Any, found: Any) -> str | None:
    return "is what it must not be" if are_same(unwanted, found) else None


def _one_of(wanted: Sequence[Any], found: Any) -> str | None:
    return None if any(are_same(one, found) for one in wanted) else "is none of the allowed values"


def _none_of(unwanted: Sequence[Any], found: Any) -> str | None:
    refused = any(are_same(one, found) for one in unwanted)
    return "is one of the refused values" if refused else None


def _ordered(holds: Callable[[Any, Any], bool], words: str, bound: Any, found: Any) -> str | None:
    fits = is_number(found) if is_number(bound) else isinstance(found, str)
    if not fits:
        raise UnfitError(f"{kind_of(found)}, not {kind_of(bound)}")
    return None if holds(found, bound) else f"is not {words} {bound!r}"


def _matches(is_match: Callable[[Any], bool], found: Any) -> str | None:
    if not isinstance(found, str):
        raise UnfitError(f"{kind_of(found)}, not a text")
    return None if is_match(found) else "does not match its pattern"


def _exists(_: Any, found: Any) -> str | None:
    return "is missing" if found is MISSING else None


def _absent(_: Any, found: Any) -> str | None:
    return None if found is MISSING else "is there"


_ORDER: Mapping[Operator, Callable[[Any, Any], str | None]] = {
    Operator.LESS_THAN: partial(_ordered, lt, "less than"),
    Operator.AT_MOST: partial(_ordered, le, "at most"),
    Operator.MORE_THAN: partial(_ordered, gt, "more than"),
    Operator.AT_LEAST: partial(_ordered, ge, "at least"),
}

_COMPARE: Mapping[Operator, Callable[[Any, Any], str | None]] = {
    **_ORDER,
    Operator.EQUALS: _equals,
    Operator.NOT_EQUALS: _not_equals,
    Operator.ONE_OF: _one_of,
    Operator.NONE_OF: _none_of,
    Operator.MATCHES: _matches,
    Operator.EXISTS: _exists,
    Operator.ABSENT: _absent,
}
