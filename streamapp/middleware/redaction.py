"""Replaces fields before an agent gets the data, so that it never sees them."""

from collections.abc import Collection, Sequence
from dataclasses import is_dataclass, replace
from typing import Any

from pydantic import BaseModel

from streamapp.errors import Permanent, PipelineError
from streamapp.middleware.choice import chosen
from streamapp.middleware.paths import close_path, may_have
from streamapp.pipeline.context import Context
from streamapp.pipeline.stage import Stage
from streamapp.structs import is_struct


class Redact:
    """Replaces fields of the data by a text, or by another value that their types take.

    What is redacted is a copy; the data themselves stay as they are. A field that some data do not
    have is passed over.

    Args:
        paths: fields by their Python names, such as `customer.email`; `*` is each item of a list,
            or each value of a dictionary: `orders.*.card`.
        by: what stands in their place.
        stages: stages to redact at; by default all.

    Raises:
        PipelineError: there is no path, or one is no text or has an empty part.
    """

    def __init__(self, *paths: str, by: Any = "***", stages: Collection[str] | None = None) -> None:
        given: Sequence[object] = paths
        if not given or not all(isinstance(one, str) and all(one.split(".")) for one in given):
            raise PipelineError(
                f"Redact was given {', '.join(map(repr, given)) or 'no path'}; give paths of"
                " fields, such as 'customer.email'"
            )
        self._paths = [path.split(".") for path in paths]
        self._by = by
        self._stages = None if stages is None else frozenset(stages)

    def check(self, stages: Sequence[Stage]) -> None:
        """Require each path to be of data that a stage may get.

        Raises:
            ValueError: a path or a stage is none of the pipeline's.
        """
        for path in self._paths:
            types = [stage.agent.input_type for stage in chosen(stages, self._stages)]
            if not any(may_have(type_, path) for type_ in types):
                near = next(filter(None, (close_path(type_, path) for type_ in types)), None)
                asked = f" (did you mean {'.'.join(near)!r}?)" if near else ""
                raise ValueError(
                    f"has the path {'.'.join(path)!r}, which the data of no stage have{asked}; give"
                    " names of fields as they are in the code, and * for items"
                )

    async def __call__(self, data: Any, stage: Stage, context: Context) -> Any:  # noqa: ARG002 - the form of middleware
        """Return a copy without these fields.

        Raises:
            Permanent: one of them is in an object that cannot be copied.
        """
        if self._stages is not None and stage.stage_id not in self._stages:
            return data
        for path in self._paths:
            data = self._redacted(data, path)
        return data

    def _redacted(self, value: Any, path: Sequence[str]) -> Any:
        if not path:
            return self._by
        part, *rest = path
        if isinstance(value, dict):
            keys = value.keys() if part == "*" else value.keys() & {part}
            return value | {key: self._redacted(value[key], rest) for key in keys}
        if part == "*":
            is_items = isinstance(value, list | tuple)
            return type(value)(self._redacted(one, rest) for one in value) if is_items else value
        if hasattr(value, part):
            return _changed(value, part, self._redacted(getattr(value, part), rest))
        return value


def _changed(value: Any, name: str, field: Any) -> Any:
    """A copy of an object with another value of a field.

    Raises:
        Permanent: it is of a class that cannot be copied so.
    """
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: field})
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{name: field})
    if is_struct(type(value)):
        from msgspec.structs import replace as replaced  # noqa: PLC0415 - an extra

        return replaced(value, **{name: field})
    if isinstance(value, tuple) and hasattr(value, "_replace"):
        return value._replace(**{name: field})
    raise Permanent(f"the field {name!r} of a {type(value).__name__} cannot be redacted")
