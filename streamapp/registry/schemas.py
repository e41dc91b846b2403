"""Schemas: what agents take and give, as Python types or JSON schemas, under names."""

from collections.abc import Hashable, Mapping
from functools import cached_property
from itertools import count
from typing import Any, get_origin

import orjson

from streamapp.errors import RegistryError
from streamapp.pipeline.fits import type_name
from streamapp.registry.json_forms import JsonForm, form_of
from streamapp.registry.nearest import did_you_mean
from streamapp.registry.prepared import Prepared, prepare
from streamapp.tombstones import takes_tombstones, value_type


class Schema:
    """What is taken or given: a Python type, a JSON schema, or as yet only a name.

    Made by `Schemas`, which has one object for each type and each JSON schema, so two schemas are
    the same if they are one object. What the containment check needs is made once, when it is
    first asked for.

    Attributes:
        name: its name in messages.
        type_: the type; `None` if it is none.
        json_schema: the JSON schema, if it is one.
    """

    def __init__(
        self, name: str, type_: Any = None, json_schema: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name
        self.type_ = type_
        self.json_schema = json_schema

    @property
    def is_bound(self) -> bool:
        """Whether more than its name is known."""
        return self.type_ is not None or self.json_schema is not None

    @cached_property
    def has_tombstones(self) -> bool:
        """Whether it has records without a value."""
        return takes_tombstones(self.type_)

    @cached_property
    def values(self) -> Any:
        """The type of its values, without tombstones."""
        return value_type(self.type_)

    @cached_property
    def read_form(self) -> JsonForm:
        """What is surely read as it."""
        if self.json_schema is not None:
            return JsonForm(dict(self.json_schema))
        return form_of(self.values, "read")

    @cached_property
    def written_form(self) -> JsonForm:
        """All that may be written as it."""
        return self.read_form if self.json_schema is not None else form_of(self.values, "written")

    @cached_property
    def read(self) -> Prepared:
        """The schema of what is read, ready for the check."""
        return _prepared(self.read_form)

    @cached_property
    def written(self) -> Prepared:
        """The schema of what is written, ready for the check."""
        return _prepared(self.written_form) if self.json_schema is None else self.read

    def __repr__(self) -> str:
        return f"<Schema {self.name}>"


def _prepared(form: JsonForm) -> Prepared:
    if form.schema is None:
        return Prepared(None, None, "; ".join(form.unknown))
    return prepare(form.schema)


class Schemas:
    """The schemas that are known, by name.

    A name may be used before it is bound: whatever the order, the same name is the same schema.

    Attributes:
        version: rises when a name that was used has been bound.
    """

    def __init__(self) -> None:
        self.version = 0
        self._by_name: dict[str, Schema] = {}
        self._by_content: dict[Hashable, Schema] = {}

    def bind(self, name: str, content: Any) -> Schema:
        """Give a type or a JSON schema a name.

        Args:
            name: the name that definitions use.
            content: a type, or a JSON schema as a mapping.

        Raises:
            RegistryError: the name is bound to something else, or the content is neither a type
                nor a JSON schema.
        """
        schema = self._of_content(content, name)
        known = self._by_name.get(name)
        if known is not None and known.is_bound and known is not schema:
            raise RegistryError(
                f"the schema {name!r} is {_shown(known)} already; choose another name"
            )
        self._by_name[name] = schema
        if known is not None and known is not schema:
            self.version += 1
        return schema

    def of(self, content: Any) -> Schema:
        """The schema of a name, a type or a JSON schema.

        An unknown name gives a schema of which nothing but the name is known.

        Raises:
            RegistryError: it is none of these.
        """
        if isinstance(content, str):
            return self._by_name.setdefault(content, Schema(content))
        return self._of_content(content, None)

    def bound(self, content: Any) -> Schema:
        """The same, but an unknown name is refused.

        Raises:
            RegistryError: the name is not bound, or it is none of these.
        """
        schema = self._by_name.get(content) if isinstance(content, str) else self.of(content)
        if schema is None or not schema.is_bound:
            known = [name for name, one in self._by_name.items() if one.is_bound]
            raise RegistryError(f"there is no schema {content!r}; {did_you_mean(content, known)}")
        return schema

    def reference(self, content: Any) -> str:
        """A name for a type or a JSON schema: one that it is bound to, or its own from now on.

        Raises:
            RegistryError: it is neither.
        """
        schema = self.of(content)
        known = [name for name, one in self._by_name.items() if one is schema]
        if known:
            return min(known)
        names = (f"{schema.name}-{n}" if n > 1 else schema.name for n in count(1))
        name = next(one for one in names if not self._is_bound(one))
        self.bind(name, schema)
        return name

    def _is_bound(self, name: str) -> bool:
        schema = self._by_name.get(name)
        return schema is not None and schema.is_bound

    def names(self) -> Mapping[str, Schema]:
        """The names that are bound, in alphabetical order."""
        return {name: one for name, one in sorted(self._by_name.items()) if one.is_bound}

    def _of_content(self, content: Any, name: str | None) -> Schema:
        if isinstance(content, Schema):
            return content
        key = _key(content)
        schema = self._by_content.get(key)
        if schema is None:
            if isinstance(content, Mapping):
                title = content.get("title")
                shown = name or (title if isinstance(title, str) else "a JSON schema")
                schema = Schema(shown, json_schema=content)
            else:
                schema = Schema(name or type_name(content), content)
            self._by_content[key] = schema
        return schema


def _shown(schema: Schema) -> str:
    return "a JSON schema" if schema.json_schema is not None else type_name(schema.type_)


def _key(content: Any) -> Hashable:
    """What is equal for the same types and for the same JSON schemas."""
    if isinstance(content, Mapping):
        try:
            return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:
            raise RegistryError(f"a JSON schema cannot be written as JSON: {error}") from error
    if not isinstance(content, type) and content is not Any and get_origin(content) is None:
        raise RegistryError(
            f"{content!r} is no schema; give a type, a JSON schema as a mapping, or a name"
        )
    try:
        hash(content)
    except TypeError:  # as of `Annotated` with notes that have no hash
        return id(content)  # which the schema keeps alive
    return content if isinstance(content, Hashable) else id(content)
