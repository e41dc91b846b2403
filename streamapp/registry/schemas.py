"""Schemas: what agents take and give, as Python types or JSON schemas, under names."""

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from itertools import count
from typing import Any, get_origin

from streamapp.errors import RegistryError
from streamapp.pipeline.fits import type_name
from streamapp.registry.json_forms import JsonForm, form_of
from streamapp.registry.nearest import did_you_mean
from streamapp.registry.prepared import Prepared, prepare
from streamapp.registry.schema_content import content_key
from streamapp.tombstones import takes_tombstones, value_type

_OF_ITS_OWN = re.compile(r'"\$(schema|id|anchor|dynamicAnchor|dynamicRef|recursiveRef)": ')


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

    @cached_property
    def stands_alone(self) -> bool:
        """Whether it is a JSON schema that means the same within another one.

        It does not if it names its draft or an address of its own.
        """
        return self.json_schema is not None and not _OF_ITS_OWN.search(json.dumps(self.json_schema))

    def __repr__(self) -> str:
        return f"<Schema {self.name}>"


def _prepared(form: JsonForm) -> Prepared:
    if form.schema is None:
        return Prepared(None, None, "; ".join(form.unknown))
    return prepare(form.schema)


class Schemas:
    """The schemas that are known, by name.

    A name may be used before it is bound: whatever the order, the same name is the same schema. A
    class of a registered agent has its full name, such as `shop.models.Order`, and its short one
    as well, as long as no other class has the same.

    """

    def __init__(self) -> None:
        self._changed: list[str] = []
        self._named: set[Schema] = set()
        self._by_name: dict[str, Schema] = {}
        self._by_content: dict[Hashable, Schema] = {}
        self._by_short_name: dict[str, list[Schema]] = {}
        self._used: dict[str, Schema] = {}

    @property
    def version(self) -> int:
        """Rises when a name that was used means something else from now on."""
        return len(self._changed)

    def changed_since(self, version: int) -> Iterable[str]:
        """The names that were used, and mean something else than at that version."""
        return dict.fromkeys(self._changed[version:])

    def bind(self, name: str, content: Any) -> Schema:
        """Give a type or a JSON schema a name.

        Args:
            name: the name that definitions use.
            content: a type, or a JSON schema as a mapping.

        Raises:
            RegistryError: the name is bound to something else, or the content is neither a type
                nor a JSON schema.
        """
        schema = self._of_content(content)
        known = self._by_name.get(name)
        if known is not None and known is not schema:
            raise RegistryError(
                f"the schema {name!r} is {_shown(known)} already; choose another name"
            )
        self._set(name, schema)
        return schema

    def rebind(self, name: str, content: Any) -> bool:
        """Let a name mean something else from now on.

        Agents that use the name take or give that from now on; so `version` rises.

        Args:
            name: a name, bound or not.
            content: a type, or a JSON schema as a mapping.

        Returns:
            Whether it meant something else before.

        Raises:
            RegistryError: the content is neither a type nor a JSON schema.
        """
        schema = self._of_content(content)
        if self._by_name.get(name) is schema:
            return False
        self._set(name, schema)
        return True

    def unbind(self, name: str) -> None:
        """Let a name be no more than a name, which may be bound again.

        Raises:
            RegistryError: it is not bound.
        """
        if self._by_name.pop(name, None) is None:
            raise RegistryError(
                f"the schema {name!r} is not bound; {did_you_mean(name, self._by_name)}"
            )
        self._notice(name)

    def of(self, content: Any) -> Schema:
        """The schema of a name, a type or a JSON schema.

        An unknown name gives a schema of which nothing but the name is known.

        Raises:
            RegistryError: it is none of these.
        """
        if not isinstance(content, str):
            return self._of_content(content)
        if content not in self._used:
            self._used[content] = self._meant(content) or Schema(content)
        return self._used[content]

    def bound(self, content: Any) -> Schema:
        """The same, but an unknown name is refused.

        Raises:
            RegistryError: the name is not bound, or means several classes, or it is none of these.
        """
        schema = self._meant(content) if isinstance(content, str) else self._of_content(content)
        if schema is not None:
            return schema
        alike = self._by_short_name.get(content, ())
        if alike:
            names = ", ".join(sorted(_full_name(one) for one in alike))
            raise RegistryError(f"several classes are called {content!r}; give one of {names}")
        known = [*self._by_name, *self._by_short_name]
        raise RegistryError(f"there is no schema {content!r}; {did_you_mean(content, known)}")

    def reference(self, type_: Any) -> str:
        """The name of a type of an agent: its full name, from now on.

        Raises:
            RegistryError: it is no type.
        """
        schema = self._of_content(type_)
        full = _full_name(schema)
        names = (f"{full}-{number}" if number > 1 else full for number in count(1))
        name = next(one for one in names if self._by_name.get(one, schema) is schema)
        if name not in self._by_name:
            self.bind(name, schema)
            if schema.name != full:
                self._by_short_name.setdefault(schema.name, []).append(schema)
                self._notice(schema.name)
        return name

    def names(self) -> Mapping[str, Schema]:
        """The names that are bound, in alphabetical order."""
        return dict(sorted(self._by_name.items()))

    def _set(self, name: str, schema: Schema) -> None:
        self._by_name[name] = schema
        if schema.json_schema is not None:
            schema.name = min(name, schema.name) if schema in self._named else name
            self._named.add(schema)
        self._notice(name)

    def _meant(self, name: str) -> Schema | None:
        alike = self._by_short_name.get(name, ())
        return self._by_name.get(name) or (alike[0] if len(alike) == 1 else None)

    def _notice(self, name: str) -> None:
        """Count a change of what a name means that somebody has used."""
        used = self._used.get(name)
        if used is not None and used is not self._meant(name):
            del self._used[name]
            self._changed.append(name)

    def _of_content(self, content: Any) -> Schema:
        if isinstance(content, Schema):
            return content
        key = content_key(content)
        schema = self._by_content.get(key)
        if schema is None:
            if isinstance(content, Mapping):
                title = content.get("title")
                shown = title if isinstance(title, str) else "a JSON schema"
                schema = Schema(shown, json_schema=content)
            else:
                schema = Schema(type_name(content), content)
            self._by_content[key] = schema
        return schema


def _full_name(schema: Schema) -> str:
    type_ = schema.type_
    if not isinstance(type_, type) or get_origin(type_) is not None:
        return schema.name
    return schema.name if type_.__module__ == "builtins" else _qualified(type_)


def _qualified(class_: type[Any]) -> str:
    return f"{class_.__module__}.{class_.__qualname__}"


def _shown(schema: Schema) -> str:
    return "a JSON schema" if schema.json_schema is not None else type_name(schema.type_)
