"""Joins without Python: the outputs of branches become fields of one object."""

from collections.abc import Callable, Sequence
from typing import Any

from streamapp.agents.kinds import kind_of
from streamapp.configuration.as_data import data_of
from streamapp.errors import Permanent
from streamapp.pipeline.agent import Agent


class Merge:
    """The join of `parallel`: one object with a field for the output of each branch.

    Args:
        fields: the fields, in the order of the branches.
        branches: the agents.
        input_type: type of the input, if its fields are to be in the object as well.
    """

    def __init__(
        self, fields: Sequence[str], branches: Sequence[Agent[Any, Any]], input_type: Any = None
    ) -> None:
        self._fields = list(
            zip(fields, (data_of(one.output_type) for one in branches), strict=True)
        )
        self._input: Callable[[Any], Any] | None = None
        if input_type is not None:
            self._input = data_of(input_type)

    def __call__(self, value: Any, *outputs: Any) -> dict[str, Any]:
        """The object.

        Raises:
            Permanent: the input is no object, or has one of the fields already: nothing is
                overwritten.
        """
        found = {} if self._input is None else self._copy_of_input(self._input(value))
        for (field, convert), output in zip(self._fields, outputs, strict=True):
            if field in found:
                raise Permanent(
                    f"the input has a field {field!r}, which parallel() would overwrite; name the"
                    " branch otherwise"
                )
            found[field] = convert(output)
        return found

    def _copy_of_input(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict):
            return dict(data)
        raise Permanent(f"the input is {kind_of(data)}, and has no fields to join with")
