"""Finds the inputs that an output may fit, without comparing it with all of them.

An input is kept under one of the fields that it needs, and found by outputs that have this field
for certain. Under which one decides only how many are looked at: that which the fewest others are
kept under.
"""

from collections.abc import Iterator

from streamapp.registry.outermost import Fields, certain_fields, may_fit, needed_fields
from streamapp.registry.schemas import Schema


class FieldIndex:
    """Inputs by a field that they need."""

    def __init__(self) -> None:
        self._by_field: dict[str | None, dict[Schema, Fields]] = {None: {}}
        self._field_of: dict[Schema, str | None] = {}
        self._waiting: dict[Schema, None] = {}

    def add(self, schema: Schema) -> None:
        """Add the schema of an input; what a type needs is looked at when somebody asks."""
        if schema.json_schema is not None:
            self._place(schema)
        else:
            self._waiting[schema] = None

    def remove(self, schema: Schema) -> None:
        """Remove the schema of an input."""
        if schema in self._waiting:
            del self._waiting[schema]
            return
        del self._by_field[self._field_of.pop(schema)][schema]

    def likely(self, output: Schema) -> Iterator[Schema]:
        """Inputs of which it cannot be seen without the library that the output does not fit."""
        for schema in self._waiting:
            self._place(schema)
        self._waiting.clear()
        written = certain_fields(output.written_form)
        if written is None:
            yield from self._field_of
            return
        for field in (None, *written):
            for schema, needed in self._by_field.get(field, {}).items():
                if may_fit(needed, written):
                    yield schema

    def _place(self, schema: Schema) -> None:
        needed = needed_fields(schema.read_form)
        field = min(needed, key=self._size, default=None)
        self._field_of[schema] = field
        self._by_field.setdefault(field, {})[schema] = needed

    def _size(self, field: str) -> int:
        return len(self._by_field.get(field, ()))
