"""Which of many pairs of agents that do not fit comes nearest to fitting."""

from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from itertools import chain, islice

from streamapp.registry.containment import Answer, ContainmentCheck, Fit
from streamapp.registry.entry import Entry
from streamapp.registry.outermost import certain_fields, kind_of, needed_fields
from streamapp.registry.schemas import Schema

MOST_SENTENCES = 20
"""So many agents of a step are told the field that does not fit; the others only that none fits."""

MOST_ENDS = 50
"""Of so many schemas on the other side the nearest is looked for, those of the best agents."""

_COMPARED = 3
"""So many pairs are compared by the library, those in which the fewest fields are missing."""

_End = tuple[str, Schema]
"""The id of an agent, or empty for an end of the pipeline, and its schema."""


class NearestFits:
    """Finds what comes nearest, within a bounded number of comparisons for each step.

    Args:
        check: whether outputs fit inputs.
    """

    def __init__(self, check: ContainmentCheck) -> None:
        self._check = check
        self._sentences: dict[int, dict[Schema, str]] = {}

    def to_input(
        self, place: int, before: Sequence[Entry], entry: Entry, source: Schema | None = None
    ) -> str:
        """The end of a sentence on what comes nearest to what an agent takes."""
        return self._kept(place, entry.input_, _outputs(before, source), [("", entry.input_)])

    def to_output(
        self, place: int, entry: Entry, following: Sequence[Entry], sink: Schema | None = None
    ) -> str:
        """The end of a sentence on what comes nearest to taking what an agent gives."""
        return self._kept(place, entry.output, [("", entry.output)], _inputs(following, sink))

    def of_all(
        self,
        before: Sequence[Entry],
        following: Sequence[Entry],
        source: Schema | None = None,
        sink: Schema | None = None,
    ) -> str:
        """The end of a sentence on the nearest of all pairs."""
        outputs = _outputs(before, None if before else source)
        return self._told(outputs, _inputs(following, None if following else sink))

    def _kept(
        self, place: int, schema: Schema, outputs: Iterable[_End], inputs: Iterable[_End]
    ) -> str:
        known = self._sentences.setdefault(place, {})
        if schema not in known:
            if len(known) >= MOST_SENTENCES:
                return ""
            known[schema] = self._told(outputs, inputs)
        return known[schema]

    def _told(self, outputs: Iterable[_End], inputs: Iterable[_End]) -> str:
        takers = list(islice(inputs, MOST_ENDS))
        pairs = [(giver, taker) for giver in islice(outputs, MOST_ENDS) for taker in takers]
        nearest = nsmallest(_COMPARED, pairs, key=_missing)
        fits = [
            (giver, taker, self._check.explain(output, input_))
            for (giver, output), (taker, input_) in nearest
        ]
        best = min(fits, default=None, key=_distance)
        if best is None:
            return ""
        giver, taker, fit = best
        names = [f"{taker!r}" if taker else "", f"after {giver!r}" if giver else ""]
        told = " ".join(name for name in names if name)
        return f"; nearest is {told}: {fit}" if told else f": {fit}"


def _missing(pair: tuple[_End, _End]) -> tuple[bool, int, str, str]:
    """How far from fitting a pair seems, without the library: its kinds, and fields it lacks."""
    (giver, output), (taker, input_) = pair
    written = certain_fields(output.written_form)
    needed = needed_fields(input_.read_form)
    missing = 0 if written is None else sum(name not in written for name in needed)
    kinds = kind_of(output.written_form), kind_of(input_.read_form)
    return None not in kinds and kinds[0] != kinds[1], missing, taker, giver


def _distance(one: tuple[str, str, Fit]) -> tuple[bool, int, str, str]:
    giver, taker, fit = one
    return fit.answer is not Answer.UNKNOWN, fit.differences, taker, giver


def _outputs(entries: Iterable[Entry], source: Schema | None) -> Iterator[_End]:
    ends = ((entry.agent_id, entry.output) for entry in entries)
    return _once(ends if source is None else chain([("", source)], ends))


def _inputs(entries: Iterable[Entry], sink: Schema | None) -> Iterator[_End]:
    ends = ((entry.agent_id, entry.input_) for entry in entries)
    return _once(ends if sink is None else chain([("", sink)], ends))


def _once(ends: Iterable[_End]) -> Iterator[_End]:
    """Each schema once, with the first agent that has it; no more are looked at than asked for."""
    seen: set[Schema] = set()
    for agent_id, schema in ends:
        if schema not in seen:
            seen.add(schema)
            yield agent_id, schema
