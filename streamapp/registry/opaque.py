"""Forms of text as patterns, so that the containment check compares them by their names.

JSON schema says `format: date` of a text, and by default nobody has to mind: to the library a plain
text would then be a date. And much of what a type demands cannot be said at all: that a time has a
zone, a text no spaces around it. Each such demand has a name here, and becomes a pattern that the
library can tell from another only by its being the same: a form covers itself, and nothing else
covers a form.

The pattern of a form matches one character of a private area, and that character followed by the
name any number of times. So the library may conclude that the text is not empty, which is true of
every form, and nothing on how long it is.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_MARK = "\ue000"

ANY_TEXT = frozenset({"binary", "password", "path"})
"""Formats that every text has."""

_NEVER_EMPTY = frozenset(
    {
        "date-time", "date", "time", "duration", "decimal", "email", "idn-email", "hostname",
        "idn-hostname", "ipv4", "ipv6", "uri", "iri", "ipvanyaddress", "ipvanyinterface",
        "ipvanynetwork", "multi-host-uri", "json-pointer", "color",
    }
)  # fmt: skip

_LENGTHS = frozenset({"type", "format", "minLength", "maxLength"})

_UUID = re.compile(r"uuid\d?")


def pattern_of(form: str) -> str:
    """The pattern that stands for a form."""
    return f"^{_MARK}(?:{re.escape(form)})*$"


def pattern_of_format(name: str) -> str | None:
    """The pattern for a format of JSON schema; `None` if every text has it."""
    if name in ANY_TEXT:
        return None
    if _UUID.fullmatch(name):  # its version is a form of its own
        return pattern_of("uuid")
    if name in _NEVER_EMPTY:
        return pattern_of(name)
    return f"^(?:{_MARK}{re.escape(name)})*$"  # the text may be empty


def asks_for_form(schema: Any) -> bool:
    """Whether a schema, as it is prepared, has a form anywhere within it."""
    return _MARK in json.dumps(schema, ensure_ascii=False)


def may_have_form(schema: Mapping[str, Any]) -> bool:
    """Whether all texts of a schema may have a form, although nothing covers that but the form.

    So may a certain text, or one with a pattern; of texts of which only the length is known, some
    have no form.
    """
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        return any(isinstance(value, str) for value in values)
    return not _LENGTHS.issuperset(schema)


def with_forms(schema: Mapping[str, Any], forms: Iterable[str]) -> dict[str, Any]:
    """A schema of texts that have these forms as well."""
    patterns = [{"pattern": pattern_of(form)} for form in forms]
    if not patterns:
        return dict(schema)
    return {**schema, "allOf": [*schema.get("allOf", ()), *patterns]}
