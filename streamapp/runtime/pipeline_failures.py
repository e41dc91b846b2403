"""Why a service ends, and which of its pipelines have failed: in a bundle not all of them."""

from collections.abc import Iterable, Mapping, Sequence

from streamapp.errors import (
    ConfigurationError,
    OffsetOutOfRangeError,
    StageError,
    UnreadableRecordError,
)
from streamapp.pipeline.topology import Segment

_CONTAINED = (StageError, OffsetOutOfRangeError, UnreadableRecordError, ConfigurationError)
"""Errors that end one stage of a bundle, and not the others: they say what is wrong with it."""


class PipelineFailures:
    """The failures of a service, in the order in which they came."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []
        self._failed: dict[str, str] = {}

    @property
    def errors(self) -> Sequence[Exception]:
        """What the service ends with; the first is told."""
        return self._errors

    @property
    def failed(self) -> Mapping[str, str]:
        """Class of the error that each failed pipeline has failed with first, by its name."""
        return self._failed

    def add(self, error: Exception, segments: Iterable[Segment]) -> None:
        """Note an error that ends the pipelines of these segments."""
        self._errors.append(error)
        self.note(type(error), segments)

    def note(self, kind: type[Exception], segments: Iterable[Segment]) -> None:
        """Note that an error of this class ends these pipelines, which others tell of."""
        for segment in segments:
            self._failed.setdefault(segment.pipeline, kind.__qualname__)


def is_contained(segment: Segment, error: Exception) -> bool:
    """Whether an error of a segment lets the others of its bundle go on."""
    return segment.bundle is not None and isinstance(error, _CONTAINED)
