"""Keeps figures over the objects of each key, and gives them anew with each object."""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from streamapp.agents.configuration import AgentConfiguration
from streamapp.agents.keys import Key, KeyPath, remembered
from streamapp.agents.kinds import UnfitError, is_number, kind_of
from streamapp.agents.paths import OnePathText, path
from streamapp.agents.running_figures import FIGURES, Figure, RunningFigures, quantile_names
from streamapp.agents.targets import TargetText, put, target
from streamapp.clock import current_clock
from streamapp.errors import Permanent
from streamapp.pipeline.capability import Capability

log = logging.getLogger(__name__)


class RunningAggregatesConfiguration(AgentConfiguration):
    """Configuration of `RunningAggregates`.

    Attributes:
        key: path to the key: a text, a number or a boolean.
        value: path to the number; not needed for `count` alone.
        figures: which figures are given.
        quantiles: which quantiles are given, as shares: 0.5 is the median, given as `p50`.
        relative_error: by which share a quantile may differ from an exact one.
        max_keys: most keys; beyond it, those that no object had for longest begin anew.
        into: place in the object for its figures; by default the figures are the output.
    """

    key: OnePathText
    value: OnePathText | None = None
    figures: tuple[Figure, ...] = (Figure.COUNT,)
    quantiles: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    relative_error: float = Field(default=0.01, ge=0.001, lt=1)
    max_keys: int = Field(default=10_000, ge=1)
    into: TargetText | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        needing = [figure for figure in self.figures if figure is not Figure.COUNT]
        if (needing or self.quantiles) and self.value is None:
            asked = needing[0] if needing else "quantiles"
            raise ValueError(f"'{asked}' needs a number; give its path as 'value'")
        if not (self.figures or self.quantiles):
            raise ValueError("give 'figures', 'quantiles', or both")
        return self


@dataclass(slots=True)
class _Kept:
    """What is kept of a key."""

    figures: RunningFigures
    since: str


class RunningAggregates:
    """Keeps figures over the objects of each key, and gives them anew with each object.

    They are in the memory of one worker: they begin anew with each run, and where a partition moves
    to another worker; each output says since when it counts. Let the key be that of the records, so
    that all of its objects come to one worker. Records that are delivered again are counted again.

    Raises:
        Permanent: the key or the number is missing, or is none.
    """

    capabilities = (Capability.DATA_AGGREGATION,)
    Configuration = RunningAggregatesConfiguration

    def __init__(self, configuration: RunningAggregatesConfiguration) -> None:
        self._key = KeyPath(configuration.key)
        self._value = None if configuration.value is None else path(configuration.value)
        self._figures = {str(figure): FIGURES[figure] for figure in configuration.figures}
        self._quantiles = quantile_names(configuration.quantiles)
        self._relative_error = configuration.relative_error if self._quantiles else None
        self._max_keys = configuration.max_keys
        self._into = None if configuration.into is None else target(configuration.into)
        self._kept: OrderedDict[object, _Kept] = OrderedDict()
        self._has_forgotten = False

    def __call__(self, value: dict[str, Any]) -> dict[str, Any]:
        """The figures of the object's key, with this object."""
        key = self._key.required(value)
        number = None if self._value is None else self._number(self._value.get(value))
        kept = self._of(key)
        if number is None:
            kept.figures.count_one()
        else:
            self._add(kept.figures, number)
        found = self._found(key, kept)
        if self._into is None:
            return found
        output = {**value}
        put(output, self._into, found)
        return output

    def _number(self, found: Any) -> float:
        assert self._value is not None  # noqa: S101 - it was just followed
        if not is_number(found):
            raise Permanent(f"{self._value.text} is {kind_of(found)}, not a number")
        number: float = found
        return number

    def _add(self, figures: RunningFigures, number: float) -> None:
        try:
            figures.add(number)
        except UnfitError as error:
            assert self._value is not None  # noqa: S101 - it was just followed
            raise Permanent(f"{self._value.text}: {error}") from error

    def _of(self, key: Key) -> _Kept:
        """What is kept of a key; begun if there is nothing."""
        name = remembered(key)
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
            return kept
        now = datetime.fromtimestamp(current_clock().time(), UTC)
        since = now.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        kept = self._kept[name] = _Kept(RunningFigures(self._relative_error), since)
        if len(self._kept) > self._max_keys:
            self._forget_one()
        return kept

    def _forget_one(self) -> None:
        self._kept.popitem(last=False)
        if not self._has_forgotten:
            self._has_forgotten = True
            log.warning(
                "running aggregates have more than max_keys=%d keys; those that no record had for"
                " longest begin anew",
                self._max_keys,
            )

    def _found(self, key: Key, kept: _Kept) -> dict[str, Any]:
        figures = kept.figures
        return {
            "key": key,
            "since": kept.since,
            **{name: figure(figures) for name, figure in self._figures.items()},
            **{name: figures.quantile(share) for name, share in self._quantiles.items()},
        }
