"""JSON schemas with a strategy for their values, some of them close to one another."""

from typing import Any

from hypothesis import strategies as st

from tests.unit.registry.typed_values import Typed

_BOUNDS = st.integers(-3, 3)
_LENGTHS = st.integers(0, 3)


def _integers(bounds: tuple[int, int]) -> Typed:
    least, most = sorted(bounds)
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Typed(schema, st.integers(least, most))


def _numbers(bounds: tuple[int, int]) -> Typed:
    least, most = sorted(bounds)
    schema = {"type": "number", "minimum": least, "maximum": most}
    return Typed(schema, st.floats(least, most) | st.integers(least, most))


def _texts(bounds: tuple[int, int]) -> Typed:
    least, most = sorted(bounds)
    schema = {"type": "string", "minLength": least, "maxLength": most}
    return Typed(schema, st.text(min_size=least, max_size=most))


def _choice(values: list[Any]) -> Typed:
    return Typed({"enum": values}, st.sampled_from(values))


_LEAVES: st.SearchStrategy[Typed] = st.one_of(
    st.sampled_from(
        [
            Typed({"type": "null"}, st.none()),
            Typed({"type": "boolean"}, st.booleans()),
            Typed({"type": "integer"}, st.integers(-9, 9)),
            Typed({"type": "number", "multipleOf": 0.5}, st.sampled_from([-1.5, 0, 2.0])),
            Typed({"type": "string"}, st.text(max_size=4)),
            Typed({"type": "string", "pattern": "^a+$"}, st.sampled_from(["a", "aa"])),
            Typed({"type": ["string", "null"]}, st.none() | st.text(max_size=2)),
            Typed({"not": {"type": "string"}}, st.none() | st.integers(-2, 2)),
        ]
    ),
    st.tuples(_BOUNDS, _BOUNDS).map(_integers),
    st.tuples(_BOUNDS, _BOUNDS).map(_numbers),
    st.tuples(_LENGTHS, _LENGTHS).map(_texts),
    st.lists(st.sampled_from(["a", "b", 1, 2, None, 1.5]), min_size=1, max_size=3).map(_choice),
)


def _arrays(drawn: tuple[Typed, int, int]) -> Typed:
    inner, *bounds = drawn
    least, most = sorted(bounds)
    schema = {"type": "array", "items": inner.type_, "minItems": least, "maxItems": most}
    return Typed(schema, st.lists(inner.values, min_size=least, max_size=most))


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    fields = {name: draw(inner) for name in draw(st.lists(st.sampled_from("abc"), unique=True))}
    needed = [name for name in fields if draw(st.booleans())]
    closed = draw(st.booleans())
    schema = {
        "type": "object",
        "properties": {name: typed.type_ for name, typed in fields.items()},
        "required": needed,
        **({"additionalProperties": False} if closed else {}),
    }
    values = st.fixed_dictionaries(
        {name: fields[name].values for name in needed},
        optional={name: typed.values for name, typed in fields.items() if name not in needed},
    )
    if closed:
        return Typed(schema, values)
    others = st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers(-2, 2), max_size=2)
    both = st.tuples(others, values)
    return Typed(schema, both.map(lambda pair: {**_without(pair[0], fields), **pair[1]}))


def _without(values: dict[str, Any], fields: dict[str, Typed]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in fields}


def _any_of(inner: list[Typed]) -> Typed:
    schema = {"anyOf": [one.type_ for one in inner]}
    return Typed(schema, st.one_of([one.values for one in inner]))


JSON_TYPED: st.SearchStrategy[Typed] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, _LENGTHS, _LENGTHS).map(_arrays),
        _objects(inner),
        st.lists(inner, min_size=2, max_size=3).map(_any_of),
    ),
    max_leaves=5,
)
"""JSON schemas as files have them."""


@st.composite
def json_pairs(draw: st.DrawFn) -> tuple[Typed, Typed]:
    """An output and an input that often fit: one is a choice of the other, or within the same."""
    one, other = draw(JSON_TYPED), draw(JSON_TYPED)
    if draw(st.booleans()):
        other = _any_of([other, one])
    if draw(st.booleans()):
        one, other = _arrays((one, 0, 2)), _arrays((other, 0, 3))
    return one, other
