"""What a composition takes and gives, as the schemas of its parts say."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamapp.configuration.composition import Branch, Choose, Parallel
from streamapp.configuration.condition_schemas import Test
from streamapp.configuration.secrets import Path
from streamapp.registry.schemas import Schema


@dataclass(frozen=True, slots=True)
class Input:
    """What an agent of a composition takes from outside.

    Attributes:
        path: where it stands.
        name: the agent.
        schema: what it takes.
        tests: conditions of `choose` that hold, or do not, for what comes to it.
    """

    path: Path
    name: str
    schema: Schema
    tests: tuple[Test, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """What may come out of a composition.

    Attributes:
        path: where it stands.
        told: it, for a sentence.
        schema: what it is.
        is_exact: whether all of that may come; it may be less otherwise.
    """

    path: Path
    told: str
    schema: Schema
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Ends:
    """What a composition takes and gives.

    Attributes:
        inputs: every value has to fit each of these that it comes to.
        outputs: a value is one of these.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    def input_schema(self, fits: Callable[[Schema, Schema], bool]) -> Schema | None:
        """The one schema of all that it takes: that of the inputs which fits the others.

        Args:
            fits: whether an output fits an input.
        """
        schemas = list(dict.fromkeys(end.schema for end in self.inputs))
        if len(schemas) > 1 and any(end.tests for end in self.inputs):
            return None
        found = (
            one for one in schemas if all(one is other or fits(one, other) for other in schemas)
        )
        return next(found, None)

    def output_schema(self, fits: Callable[[Schema, Schema], bool]) -> Schema | None:
        """The one schema of all that it gives: that of the outputs which the others fit, or any.

        Args:
            fits: whether an output fits an input.
        """
        schemas = list(dict.fromkeys(end.schema for end in self.outputs))
        for one in schemas:
            if all(one is other or fits(other, one) for other in schemas):
                return one if len(schemas) == 1 or _is_understood(one) else None
        parts = [_within(one) for one in schemas]
        joined = Schema("any of its outputs", json_schema={"anyOf": parts})
        return joined if None not in parts and _is_understood(joined) else None


def _is_understood(schema: Schema) -> bool:
    return not schema.is_bound or not schema.written.unknown


def chosen(one: Choose, parts: Sequence[Ends]) -> Iterable[Input]:
    """The inputs of the cases, each with what is asked before it is chosen."""
    before: tuple[Test, ...] = ()
    for part, case in zip(parts, [*one.choose, None], strict=True):
        tests = before if case is None else (*before, (case.when, True))
        for end in part.inputs:
            yield replace(end, tests=(*tests, *end.tests))
        if case is not None:
            before = (*before, (case.when, False))


def defaults(one: Branch, path: Path) -> Iterable[Output]:
    """The values that a branch gives in place of its agent's."""
    for field in ("default", "if_none"):
        if field in one.model_fields_set:
            value = getattr(one, field)
            schema = Schema("the value", json_schema={"const": value})
            # Nothing is handed on where a branch stands alone, and its value is null.
            yield Output((*path, field), f"the {field}", schema, is_exact=value is not None)


def joined(one: Parallel, parts: Sequence[Ends], path: Path) -> Output:
    """The object that has the outputs as its fields."""
    fields = {}
    is_exact = one.join == "outputs"
    for field, part in zip(one.parallel, parts, strict=True):
        schemas = [_within(end.schema) for end in part.outputs]
        is_exact = is_exact and all(end.is_exact for end in part.outputs) and None not in schemas
        fields[field] = {} if None in schemas else {"anyOf": schemas}
    found: dict[str, Any] = {"type": "object", "properties": fields, "required": list(fields)}
    if one.join == "outputs":
        found["additionalProperties"] = False
    schema = Schema("an object of the outputs", json_schema=found)
    return Output(path, f"what {one.shown} gives", schema, is_exact)


def _within(schema: Schema) -> Any:
    """A schema as it can stand within another one; `None` if it cannot."""
    if schema.json_schema is None or not schema.stands_alone:
        return None
    return None if '"$ref"' in json.dumps(schema.json_schema) else schema.json_schema
