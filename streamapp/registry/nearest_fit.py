"""Which of many pairs of agents that do not fit comes nearest to fitting."""

from collections.abc import Iterable, Iterator, Sequence

from streamapp.registry.containment import Answer, ContainmentCheck, Fit
from streamapp.registry.entry import Entry
from streamapp.registry.schemas import Schema

MOST_PAIRS = 400
"""Pairs of schemas that are looked at for reasons, at each step."""

_End = tuple[str, Schema]
"""The id of an agent, or empty for an end of the pipeline, and its schema."""


class NearestFits:
    """Finds what comes nearest, within a bounded number of comparisons for each step.

    Args:
        check: whether outputs fit inputs.
    """

    def __init__(self, check: ContainmentCheck) -> None:
        self._check = check
        self._looked: dict[int, set[tuple[Schema, Schema]]] = {}

    def to_input(
        self, place: int, before: Sequence[Entry], entry: Entry, source: Schema | None = None
    ) -> str:
        """The end of a sentence on what comes nearest to what an agent takes."""
        return self._told(place, _outputs(before, source), [("", entry.input_)])

    def to_output(
        self, place: int, entry: Entry, following: Sequence[Entry], sink: Schema | None = None
    ) -> str:
        """The end of a sentence on what comes nearest to taking what an agent gives."""
        return self._told(place, [("", entry.output)], _inputs(following, sink))

    def of_all(
        self,
        place: int,
        before: Sequence[Entry],
        following: Sequence[Entry],
        source: Schema | None = None,
        sink: Schema | None = None,
    ) -> str:
        """The end of a sentence on the nearest of all pairs."""
        outputs = _outputs(before, None if before else source)
        return self._told(place, outputs, _inputs(following, None if following else sink))

    def _told(self, place: int, outputs: Iterable[_End], inputs: Iterable[_End]) -> str:
        nearest = min(self._fits(place, list(outputs), list(inputs)), default=None, key=_distance)
        if nearest is None:
            return ""
        giver, taker, fit = nearest
        names = [f"{taker!r}" if taker else "", f"after {giver!r}" if giver else ""]
        told = " ".join(name for name in names if name)
        return f"; nearest is {told}: {fit}" if told else f": {fit}"

    def _fits(
        self, place: int, outputs: Sequence[_End], inputs: Sequence[_End]
    ) -> Iterator[tuple[str, str, Fit]]:
        looked = self._looked.setdefault(place, set())
        for giver, output in outputs:
            for taker, input_ in inputs:
                pair = output, input_
                if pair not in looked and len(looked) >= MOST_PAIRS:
                    continue
                looked.add(pair)
                yield giver, taker, self._check.explain(output, input_)


def _distance(one: tuple[str, str, Fit]) -> tuple[bool, int, str, str]:
    giver, taker, fit = one
    return fit.answer is not Answer.UNKNOWN, fit.differences, taker, giver


def _outputs(entries: Iterable[Entry], source: Schema | None) -> Iterator[_End]:
    """Each schema once, with the first agent that gives it."""
    if source is not None:
        yield "", source
    firsts: dict[Schema, str] = {}
    for entry in entries:
        firsts.setdefault(entry.output, entry.agent_id)
    yield from ((agent_id, schema) for schema, agent_id in firsts.items())


def _inputs(entries: Iterable[Entry], sink: Schema | None) -> Iterator[_End]:
    if sink is not None:
        yield "", sink
    firsts: dict[Schema, str] = {}
    for entry in entries:
        firsts.setdefault(entry.input_, entry.agent_id)
    yield from ((agent_id, schema) for schema, agent_id in firsts.items())
