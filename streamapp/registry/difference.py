"""Where and why a schema that is read does not cover one that is written, for people.

Only explains: whether it covers it is the library's to say. It goes down into the first part for
which the library does not say yes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamapp.registry.describe_schema import followed, in_words
from streamapp.registry.opaque import asks_for_form, may_have_form

Covers = Callable[[Any, Any], bool | None]
"""Whether the first schema covers the second, `None` if neither is proven; with definitions."""

MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in which two schemas differ.

    Attributes:
        path: the field, as `session.events[].kind`; empty for the whole value.
        reason: what is wrong there, as the end of a sentence.
        is_certain: whether it is proven that values differ there.
    """

    path: str
    reason: str
    is_certain: bool = True


class Comparison:
    """Compares the parts of two schemas.

    Args:
        read: the schema that does not cover the other.
        written: the other.
        covers: asks the library about two parts.
    """

    def __init__(self, read: Any, written: Any, covers: Covers) -> None:
        self._read = read
        self._written = written
        self._read_definitions = _definitions(read)
        self._written_definitions = _definitions(written)
        self._covers = covers
        self._followed: set[tuple[str, str]] = set()

    def differences(self) -> Iterator[Difference]:
        """The places in which they differ; at least one."""
        yield from self._between(self._read, self._written, "", 0)

    def _between(self, read: Any, written: Any, path: str, depth: int) -> Iterator[Difference]:
        taken = followed(read, self._read_definitions) if read is not True else {}
        given = followed(written, self._written_definitions) if written is not True else {}
        given = self._refused_choice(read, given)
        taken = self._nearest_choice(taken, given)
        found: Iterator[Difference] = iter(())
        if depth < MAX_DEPTH and self._is_new(read, written):
            if taken.get("type") == given.get("type") == "object":
                found = self._of_objects(taken, given, path, depth)
            elif taken.get("type") == given.get("type") == "array":
                found = self._of_items(taken, given, path, depth)
        is_told = False
        says_more = not _ALSO_NARROWING.isdisjoint(given)
        for one in found:
            is_told = True
            yield replace(one, is_certain=False) if says_more else one
        if not is_told:
            gives = in_words(given, self._written_definitions)
            takes = in_words(read, self._read_definitions)
            is_certain = _kinds_differ(taken, given) or (
                self._answer(read, written) is False
                and not (asks_for_form(taken) and may_have_form(given))
            )
            if gives == takes:
                told = f"is {gives} on both sides, and differs in its parts"
            else:
                told = f"may be {gives}, and has to be {takes}"
            yield Difference(path, told, is_certain)

    def _answer(self, read: Any, written: Any) -> bool | None:
        return self._covers(
            _with_definitions(read, self._read), _with_definitions(written, self._written)
        )

    def _is_new(self, read: Any, written: Any) -> bool:
        """Whether two references are not within one another, as in schemas of trees."""
        names = [one.get("$ref") if isinstance(one, Mapping) else None for one in (read, written)]
        if None in names:
            return True
        pair = str(names[0]), str(names[1])
        is_new = pair not in self._followed
        self._followed.add(pair)
        return is_new

    def _refused_choice(self, read: Any, given: dict[str, Any]) -> dict[str, Any]:
        """Of several choices of what is written, the first that is not taken."""
        for choice in given.get("anyOf") or given.get("oneOf") or ():
            if not self._answer(read, choice):
                return followed(choice, self._written_definitions)
        return given

    def _nearest_choice(self, taken: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Of several choices of what is read, the only one of the kind that is given."""
        choices = [
            followed(one, self._read_definitions)
            for one in taken.get("anyOf") or taken.get("oneOf") or ()
        ]
        alike = [one for one in choices if one.get("type") == given.get("type")]
        return alike[0] if len(alike) == 1 else taken

    def _of_objects(
        self, taken: dict[str, Any], given: dict[str, Any], path: str, depth: int
    ) -> Iterator[Difference]:
        read, written = taken.get("properties", {}), given.get("properties", {})
        others_are_written = given.get("additionalProperties", True)
        for name in taken.get("required", ()):
            if name not in given.get("required", ()):
                is_known = name in written or others_are_written is not False
                told = "may be left out" if is_known else "is not written"
                yield Difference(_joined(path, name), f"is required, and {told}")
        for name, part in read.items():
            inner = written.get(name, others_are_written)
            if inner is False or self._answer(part, inner):
                continue
            if name in written:
                yield from self._between(part, inner, _joined(path, name), depth + 1)
            else:
                words = in_words(inner, self._written_definitions)
                yield Difference(
                    _joined(path, name), f"may be {words}, since other fields are not ruled out"
                )
        if taken.get("additionalProperties") is False:
            for name in written:
                if name not in read:
                    yield Difference(_joined(path, name), "is written, and not allowed")
            if others_are_written is not False:
                yield Difference(path, "may have other fields, and they are not allowed")
        yield from self._of_values(taken, given, path, depth)

    def _of_values(
        self, taken: dict[str, Any], given: dict[str, Any], path: str, depth: int
    ) -> Iterator[Difference]:
        """Of mappings, whose values have one schema."""
        read, written = taken.get("additionalProperties"), given.get("additionalProperties")
        if not isinstance(read, Mapping):
            return
        for name, part in given.get("properties", {}).items():
            known = name in taken.get("properties", {})
            if not known and not self._answer(read, part):
                yield from self._between(read, part, _joined(path, name), depth + 1)
        if written not in (None, False) and not self._answer(read, written):
            yield from self._between(read, written, f"{path}{{}}", depth + 1)

    def _of_items(
        self, taken: dict[str, Any], given: dict[str, Any], path: str, depth: int
    ) -> Iterator[Difference]:
        read, written = taken.get("items", True), given.get("items", True)
        if "prefixItems" in taken or "prefixItems" in given:
            return
        if not self._answer(read, written):
            yield from self._between(read, written, f"{path}[]", depth + 1)


def _kinds_differ(taken: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    kinds = taken.get("type"), given.get("type")
    are_single = all(isinstance(kind, str) and kind in _KINDS for kind in kinds)
    return are_single and kinds[0] != kinds[1]


_KINDS = {"array", "boolean", "null", "object", "string"}
"""Of which no value is of another as well, as integers are numbers."""


_ALSO_NARROWING = frozenset(
    {
        "$dynamicRef", "$ref", "allOf", "anyOf", "const", "dependencies", "dependentRequired",
        "dependentSchemas", "enum", "if", "maxProperties", "minProperties", "not", "oneOf",
        "patternProperties", "propertyNames", "unevaluatedProperties",
    }
)  # fmt: skip
"""Keywords by which what is written may be less than its fields, items and `required` say."""


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _definitions(schema: Any) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping):
        return {}
    return {**schema.get("definitions", {}), **schema.get("$defs", {})}


def _with_definitions(part: Any, whole: Any) -> Any:
    if not isinstance(part, Mapping) or not isinstance(whole, Mapping):
        return part
    kept = {name: whole[name] for name in ("$defs", "definitions") if name in whole}
    return {**part, **kept}
