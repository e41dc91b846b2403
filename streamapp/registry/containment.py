"""Whether what one schema writes can be read as another: the one place that answers it.

An output fits an input if every value that may be written is surely read. The library that compares
JSON schemas, `jsonschema_rs`, is asked here alone. Its answers, and those about pairs, are kept: a
pair of schemas is compared once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from types import NoneType
from typing import Any

from jsonschema_rs import canonicalize
from jsonschema_rs.canonical import CanonicalizationError, Containment

from streamapp.errors import RegistryError
from streamapp.pipeline.readable import why_unreadable
from streamapp.registry.difference import Comparison
from streamapp.registry.opaque import asks_for_form
from streamapp.registry.schemas import Schema

MAX_KEPT_ANSWERS = 500_000
"""Answers are forgotten, all at once, when there are more."""

_MAX_DIFFERENCES = 8

_DRAFTS = (
    "the two JSON schemas name different drafts in $schema, or one that is not known, and cannot be"
    " compared; leave $schema out of both, or give both the same"
)


class Answer(StrEnum):
    """Whether an output fits an input."""

    YES = "yes"  # proven
    NO = "no"  # some outputs would be refused
    UNKNOWN = "unknown"  # neither could be proven


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer about an output and an input.

    Attributes:
        answer: what is proven.
        path: the field that does not fit, as `session.events[].kind`; empty for the whole value.
        reason: why not, or why it is not known; empty if it fits.
        differences: how many places differ, as far as they were looked for.
        unseen: functions that decide about values when they are read, and that no schema shows.
        unread: fields that are written and not read.
        declared: why somebody has declared that it fits, whatever the answer.
    """

    answer: Answer
    path: str = ""
    reason: str = ""
    differences: int = 0
    unseen: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    declared: str = ""

    @property
    def is_fit(self) -> bool:
        """Whether the output may be given as the input."""
        return self.answer is Answer.YES or bool(self.declared)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know beside the answer."""
        notes = [f"not seen: {', '.join(self.unseen)}"] if self.unseen else []
        notes += [f"not read: {', '.join(self.unread)}"] if self.unread else []
        notes += [f"declared to fit: {self.declared}"] if self.declared else []
        return tuple(notes)

    def __str__(self) -> str:
        """The answer as a sentence without a subject."""
        place = f"{self.path!r} " if self.path else ""
        told = "fits" if self.answer is Answer.YES else f"{self.answer}: {place}{self.reason}"
        return "; ".join((told, *self.notes))


class ContainmentCheck:
    """Answers whether outputs fit inputs, and keeps the answers.

    Attributes:
        declarations: how often something was declared.
    """

    def __init__(self) -> None:
        self.declarations = 0
        self._fits: dict[tuple[Schema, Schema], bool] = {}
        self._explained: dict[tuple[Schema, Schema], Fit] = {}
        self._declared: dict[Schema, dict[Schema, str]] = {}

    def declare(self, output: Schema, input_: Schema, reason: str) -> None:
        """Say that an output fits an input, whatever the check finds; every answer shows it.

        Raises:
            RegistryError: no reason is given.
        """
        if not reason.strip():
            raise RegistryError(
                f"{output.name} is declared to fit {input_.name} without a reason; say why"
            )
        pair = output, input_
        self._declared.setdefault(output, {})[input_] = reason.strip()
        self.declarations += 1
        self._explained.pop(pair, None)
        self._fits[pair] = True

    def declared_for(self, output: Schema) -> Mapping[Schema, str]:
        """The inputs that an output is declared to fit, with the reasons."""
        return self._declared.get(output, {})

    def fits(self, output: Schema, input_: Schema) -> bool:
        """Whether an output may be given as an input; faster than `explain` when it may not."""
        pair = output, input_
        known = self._fits.get(pair)
        if known is None:
            if len(self._fits) >= MAX_KEPT_ANSWERS:
                self._fits.clear()
            known = input_ in self.declared_for(output)
            if not known:
                decided = _decide(output, input_)
                known = decided is not None and decided.is_fit
            self._fits[pair] = known
        return known

    def explain(self, output: Schema, input_: Schema) -> Fit:
        """The answer about an output and an input, with its reasons."""
        pair = output, input_
        known = self._explained.get(pair)
        if known is None:
            if len(self._explained) >= MAX_KEPT_ANSWERS:
                self._explained.clear()
            known = compare(output, input_)
            if reason := self.declared_for(output).get(input_):
                known = replace(known, declared=reason)
            self._explained[pair] = known
        return known


def compare(output: Schema, input_: Schema) -> Fit:
    """Whether every value that is written as `output` is read as `input_`; nothing is kept."""
    return _decide(output, input_) or _explained(output, input_)


def _decide(output: Schema, input_: Schema) -> Fit | None:
    """The answer, or `None` if it is not yes and the reason has still to be found."""
    if not (output.is_bound and input_.is_bound):
        return _of_names(output, input_)
    if output.values is NoneType:
        return Fit(Answer.NO, reason="no outputs are given at all")
    if output.has_tombstones and not input_.has_tombstones:
        return Fit(Answer.NO, reason="tombstones are given, and not taken")
    if bytes in (output.values, input_.values) and output.values is not input_.values:
        return Fit(Answer.NO, reason="bytes and JSON are not the same")
    if output is input_ or (output.type_ is not None and output.values == input_.values):
        return _of_one_type(input_)
    return _of_two(output, input_)


def _of_names(output: Schema, input_: Schema) -> Fit:
    if output is input_:
        return Fit(Answer.YES)
    names = [repr(one.name) for one in (output, input_) if not one.is_bound]
    return Fit(Answer.UNKNOWN, reason=f"nothing is known of the schema {' and '.join(names)}")


def _of_one_type(schema: Schema) -> Fit:
    """Yes, unless a field has two names: one by which it is written, and one to read it by."""
    if schema.type_ is None or schema.values is bytes:
        return Fit(Answer.YES)
    unreadable = why_unreadable(schema.values, schema.values)
    if unreadable is not None:
        return Fit(Answer.NO, reason=unreadable, differences=1)
    return Fit(Answer.YES, unseen=schema.read_form.unseen)


def _of_two(output: Schema, input_: Schema) -> Fit | None:
    written, read = output.written, input_.read
    unseen = input_.read_form.unseen
    if written.canonical is None:
        return _unknown("output", written.unknown, unseen)
    if read.canonical is None or input_.read_form.unknown:
        return _unknown("input", read.unknown or "; ".join(input_.read_form.unknown), unseen)
    try:
        is_covered = read.canonical.covers(written.canonical) == Containment.YES
    except CanonicalizationError:
        return Fit(Answer.UNKNOWN, reason=_DRAFTS, unseen=unseen)
    if is_covered:
        return Fit(Answer.YES, unseen=unseen, unread=tuple(_unread(written.schema, read.schema)))
    return None


def _explained(output: Schema, input_: Schema) -> Fit:
    """Why one of two schemas, which the library knows, does not cover the other."""
    written, read, unseen = output.written, input_.read, input_.read_form.unseen
    if told := written.unknown or "; ".join(output.written_form.unknown):
        return _unknown("output", told, unseen)
    if read.unknown:
        return _unknown("input", read.unknown, unseen)
    comparison = Comparison(read.schema, written.schema, _covers)
    found = list(islice(comparison.differences(), _MAX_DIFFERENCES))
    first = next((one for one in found if one.is_certain), found[0])
    if first.is_certain or (
        not asks_for_form(read.schema) and _covers(read.schema, written.schema) is False
    ):
        return Fit(Answer.NO, first.path, first.reason, len(found), unseen)
    reason = f"{first.reason}; whether it fits could neither be proven nor ruled out"
    return Fit(Answer.UNKNOWN, first.path, reason, len(found), unseen)


def _unknown(side: str, told: str, unseen: tuple[str, ...]) -> Fit:
    return Fit(Answer.UNKNOWN, reason=f"of the {side}, {told}", unseen=unseen)


def _covers(read: Any, written: Any) -> bool | None:
    try:
        answer = canonicalize(read, offline=True).covers(canonicalize(written, offline=True))
    except Exception:  # noqa: BLE001 - a young library; its errors have no common class
        return None
    return {Containment.YES: True, Containment.NO: False}.get(answer)


def _unread(written: Any, read: Any) -> Iterator[str]:
    """Fields that are written and have no place in what is read."""
    if not (isinstance(written, dict) and isinstance(read, dict)):
        return
    takes_others = read.keys() & {"additionalProperties", "patternProperties"}
    if read.get("type") == "object" and "properties" in read and not takes_others:
        yield from (one for one in written.get("properties", ()) if one not in read["properties"])
