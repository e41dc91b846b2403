"""What the rules of a condition say of a value, as JSON schemas: so a check knows who is chosen."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamapp.agents.kinds import is_number
from streamapp.agents.paths import path
from streamapp.agents.rules import Condition, Match, Operator, Rule
from streamapp.registry.describe_schema import followed
from streamapp.registry.schemas import Schema

Test = tuple[Condition, bool]
"""A condition, and whether it holds."""

MAX_DEPTH = 16
"""How deep schemas are looked through."""

_OPPOSITES = {
    Operator.NOT_EQUALS: Operator.EQUALS,
    Operator.NONE_OF: Operator.ONE_OF,
    Operator.ABSENT: Operator.EXISTS,
}
_BOUNDS = {
    Operator.LESS_THAN: ("exclusiveMaximum", "minimum"),
    Operator.AT_MOST: ("maximum", "exclusiveMinimum"),
    Operator.MORE_THAN: ("exclusiveMinimum", "maximum"),
    Operator.AT_LEAST: ("minimum", "exclusiveMaximum"),
}
_ELSEWHERE = frozenset({"$dynamicRef", "if", "not", "patternProperties"})
"""Keywords that say something of a field in ways which are not followed here."""


@dataclass(frozen=True, slots=True)
class _Split:
    """Schemas of the values for which something holds, and for which it does not."""

    holds: Any
    fails: Any
    is_exact: bool = True

    def turned(self) -> "_Split":
        return _Split(self.fails, self.holds, self.is_exact)


def asked(given: Schema, tests: Sequence[Test]) -> tuple[list[Any], bool]:
    """JSON schemas of the values for which conditions hold, or do not.

    Args:
        given: what is written, which the conditions are asked of.
        tests: the conditions.

    Returns:
        A schema for each condition, and whether they leave out all other values.
    """
    written = given.written.schema
    whole = written if isinstance(written, Mapping) else {}
    splits = [_of_condition(one, lambda names: _is_plain(whole, names)) for one, _ in tests]
    schemas = [
        split.holds if holds else split.fails
        for split, (_, holds) in zip(splits, tests, strict=True)
    ]
    return schemas, all(split.is_exact for split in splits)


def _of_condition(condition: Condition, is_plain: Callable[[Sequence[str]], bool]) -> _Split:
    """Rules are asked in their order until the answer is certain."""
    splits = [_of_rule(rule, is_plain) for rule in condition.rules]
    if condition.match is Match.ANY:
        return _all([split.turned() for split in splits]).turned()
    return _all(splits)


def _all(splits: Sequence[_Split]) -> _Split:
    before: list[Any] = []
    fails = []
    for split in splits:
        fails.append({"allOf": [*before, split.fails]})
        before.append(split.holds)
    return _Split({"allOf": before}, {"anyOf": fails}, all(split.is_exact for split in splits))


def _of_rule(rule: Rule, is_plain: Callable[[Sequence[str]], bool]) -> _Split:
    names = path(rule.path).names
    if names is None:
        return _Split({}, {}, is_exact=False)
    opposite = _OPPOSITES.get(rule.operator)
    operator = opposite or rule.operator
    found = _of_field(names, operator, rule.value, is_plain=is_plain(names))
    return found if opposite is None else found.turned()


def _of_field(names: Sequence[str], operator: Operator, value: Any, *, is_plain: bool) -> _Split:
    if operator is Operator.EXISTS:
        return _or_not(_at(names, {}))
    if not is_plain:
        return _Split(_at(names, {}), {}, is_exact=False)
    if operator is Operator.EQUALS:
        return _or_not(_at(names, {"const": value}))
    if operator is Operator.ONE_OF:
        return _or_not(_at(names, {"enum": value} if value else {"not": {}}))
    if operator in _BOUNDS and is_number(value):
        holds, fails = ({"type": "number", name: value} for name in _BOUNDS[operator])
        return _Split(_at(names, holds), _at(names, fails))
    text = _at(names, {"type": "string"})  # others are faults of the record
    return _Split(text, text, is_exact=False)


def _or_not(schema: Any) -> _Split:
    return _Split(schema, {"not": schema})


def _at(names: Sequence[str], inner: Any) -> Any:
    """A schema of objects that have a value at a path."""
    for name in reversed(names):
        inner = {"type": "object", "required": [name], "properties": {name: inner}}
    return inner


def _is_plain(whole: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether a field has no format: which values have one, no JSON schema can say."""
    definitions = {**whole.get("definitions", {}), **whole.get("$defs", {})}
    return _has_no_format(whole, names, definitions, MAX_DEPTH)


def _has_no_format(
    schema: Any, names: Sequence[str], definitions: Mapping[str, Any], depth: int
) -> bool:
    is_more_than_reference = isinstance(schema, Mapping) and "$ref" in schema and len(schema) > 1
    schema = followed(schema, definitions)
    if not names:
        text = json.dumps(schema)
        return '"format"' not in text and '"$ref"' not in text
    if depth == 0 or is_more_than_reference or not _ELSEWHERE.isdisjoint(schema):
        return False
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    choices = [one for name in ("allOf", "anyOf", "oneOf") for one in schema.get(name, ())]
    inner = properties.get(names[0], others)
    return _has_no_format(inner, names[1:], definitions, depth - 1) and all(
        _has_no_format(one, names, definitions, depth - 1) for one in choices
    )
