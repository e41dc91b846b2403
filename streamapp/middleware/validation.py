"""Refuses data before an agent gets them: by a schema, or by a predicate."""

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter

from streamapp.errors import Permanent, PipelineError
from streamapp.middleware.choice import chosen
from streamapp.pipeline.context import Context
from streamapp.pipeline.signature import name_of
from streamapp.pipeline.stage import Stage
from streamapp.structs import check_as_struct, is_struct


class Validate:
    """Refuses data that a schema or a predicate does not accept, as the record's fault.

    The agent gets the data as they are: a schema checks, and changes nothing.

    Args:
        check: a type that pydantic knows, or a struct of msgspec's, such as a model with narrower
            fields than the agent's; or a plain function of the data that says whether they are
            accepted.
        stages: stages to check at; by default all.

    Raises:
        PipelineError: the check is neither, or is async.
    """

    def __init__(
        self, check: type[Any] | Callable[[Any], bool], stages: Collection[str] | None = None
    ) -> None:
        self._stages = None if stages is None else frozenset(stages)
        self._adapter: TypeAdapter[Any] | None = None
        self._accepts: Callable[[Any], bool] | None = None
        given: object = check
        self._struct: Any = None
        if is_struct(given):
            self._struct = given
        elif inspect.isclass(given):
            self._adapter = TypeAdapter(given)
        elif callable(given) and not inspect.iscoroutinefunction(given):
            self._accepts = given
        else:
            raise PipelineError(
                f"Validate was given {given!r}; give a type, or a plain function of the data"
            )

    def check(self, stages: Sequence[Stage]) -> None:
        """Require its stages to be some of the pipeline's.

        Raises:
            ValueError: one is none.
        """
        chosen(stages, self._stages)

    async def __call__(self, data: Any, stage: Stage, context: Context) -> Any:  # noqa: ARG002 - the form of middleware
        """Return the data if they are accepted.

        Raises:
            pydantic.ValidationError: the schema does not accept them; it names their fields.
            Permanent: the predicate does not.
        """
        if self._stages is not None and stage.stage_id not in self._stages:
            return data
        if self._struct is not None:
            check_as_struct(data, self._struct)
        elif self._adapter is not None:
            plain = data.model_dump() if isinstance(data, BaseModel) else data
            self._adapter.validate_python(plain, from_attributes=True)
        elif self._accepts is not None and not self._accepts(data):
            raise Permanent(f"{name_of(self._accepts)} refused it before stage {stage.stage_id!r}")
        return data
