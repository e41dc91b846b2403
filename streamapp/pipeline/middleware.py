"""Middleware: what runs around every call of an agent, in the order in which it was added.

A plain form gets the data before the agent does, and returns what the agent gets instead. The other
form gets the call as well, and may change, refuse, repeat, replace, time and catch it.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from streamapp.errors import EncodeError, PipelineError
from streamapp.pipeline.agent_call import CheckedOutputs, EncodedValue
from streamapp.pipeline.batch_call import Many
from streamapp.pipeline.batch_meeting import call_together
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import KEEP, Out
from streamapp.pipeline.signature import name_of
from streamapp.pipeline.stage import Stage
from streamapp.record import Headers, TopicPartition
from streamapp.serialisation import Codec

Call: TypeAlias = Callable[[Any], Awaitable[Any]]
"""Calls the agent, with the middleware added later around it, and gives what the agent gives."""


class Middleware(Protocol):
    """Runs before the agent of each stage."""

    async def __call__(self, data: Any, stage: Stage, context: Context, /) -> Any:
        """Return what the agent gets in place of the data.

        Args:
            data: what the stage was given; no other attempt has the same object.
            stage: the stage, read-only.
            context: the record, the attempt and the audit trail.
        """


class AroundMiddleware(Protocol):
    """Runs around the agent of each stage."""

    async def __call__(self, data: Any, stage: Stage, context: Context, call: Call, /) -> Any:
        """Return what counts as the result of the agent: a value, `None`, a list, or an `Out`.

        Args:
            data: what the stage was given; no other attempt has the same object.
            stage: the stage, read-only.
            context: the record, the attempt and the audit trail.
            call: calls the agent with what it is given, and returns its result. The outputs of a
                generator are a list.
        """


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, for middleware with a method `dead_lettered(letter)`, which is told of each.

    Attributes:
        pipeline, stage: whose it is.
        topic: the dead-letter topic.
        partition, offset: where the record was read.
        headers: headers of the value that the stage was given.
        error: what it failed with.
        reason: why it is one.
        attempts: how many attempts were made.
    """

    pipeline: str
    stage: str
    topic: str
    partition: TopicPartition
    offset: int
    headers: Headers
    error: Exception
    reason: str
    attempts: int


Function: TypeAlias = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Added:
    """Middleware as it was added to a pipeline, after the checks.

    Attributes:
        function: the function or object.
        name: its name for errors.
        is_around: whether it takes the call as well.
    """

    function: Function
    name: str
    is_around: bool

    def check(self, where: str, stages: Sequence[Stage]) -> None:
        """Let middleware with a method `check(stages)` say whether it fits a pipeline.

        Args:
            where: beginning of the error message.
            stages: the stages of the pipeline that it was added to.

        Raises:
            PipelineError: it raised a `ValueError`, whose text says what does not fit.
        """
        check: object = getattr(self.function, "check", None)
        if not callable(check):
            return
        try:
            check(stages)
        except ValueError as error:
            raise PipelineError(f"{where}: the middleware {self.name} {error}") from error

    @property
    def dead_lettered(self) -> Callable[[Letter], None] | None:
        """Told of each dead letter of a stage, if the middleware wants to be."""
        told: Callable[[Letter], None] | None = getattr(self.function, "dead_lettered", None)
        return told if callable(told) else None


_FORMS = {3: False, 4: True}
"""Number of parameters, and whether the last of them is the call."""


def checked_middleware(where: str, middleware: object) -> Added:
    """Middleware that was given to a pipeline.

    Raises:
        PipelineError: it is no async function, or has other parameters.
    """
    if not callable(middleware) or inspect.isclass(middleware):
        raise PipelineError(
            f"{where}: .use() was given {middleware!r}; give async functions, or objects with an"
            " async __call__"
        )
    name = name_of(middleware)
    called: Any = middleware.__call__
    if not any(map(inspect.iscoroutinefunction, (middleware, called))):
        raise PipelineError(f"{where}: the middleware {name} is not async; write `async def`")
    count = _positional_count(middleware)
    if count not in _FORMS:
        raise PipelineError(
            f"{where}: the middleware {name} takes {count} arguments; it takes"
            " (data, stage, context), or (data, stage, context, call)"
        )
    return Added(middleware, name, _FORMS[count])


def _positional_count(function: Callable[..., Any]) -> int:
    """How many positional arguments a function needs."""
    parameters = inspect.signature(function).parameters.values()
    return sum(
        one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty
        for one in parameters
    )


class StageMiddleware:
    """The middleware around one stage.

    Args:
        added: the middleware, in the order in which it was added.
        stage: the stage.
        takes: codec of what the agent takes.
        gives: codec of what it gives.
    """

    def __init__(
        self, added: Sequence[Added], stage: Stage, takes: Codec[Any], gives: Codec[Any]
    ) -> None:
        self._added = tuple(added)
        self._stage = stage
        self._takes = takes
        self._gives = gives

    def around(
        self, function: Callable[..., Any], *, is_async: bool, takes_context: bool
    ) -> Function:
        """The function with the middleware around it: async, and called with a context too."""
        inner = self._innermost(function, is_async=is_async, takes_context=takes_context)
        for one in reversed(self._added):
            inner = self._with_call(one, inner) if one.is_around else self._before(one, inner)
        return inner

    def around_each(self, many: Many) -> Many:
        """The call of a batch agent with the middleware around the part of each value."""

        def around(call: Function) -> Function:
            return self.around(call, is_async=True, takes_context=True)

        async def call(values: list[Any], contexts: list[Context]) -> list[Any]:
            return await call_together(values, contexts, around, many)

        return call

    def _innermost(
        self, function: Callable[..., Any], *, is_async: bool, takes_context: bool
    ) -> Function:
        shows = any(one.is_around for one in self._added)

        async def call(data: Any, context: Context) -> Any:
            result = function(data, context) if takes_context else function(data)
            if is_async:
                result = await result
            return self._shown(result) if shows and type(result) is CheckedOutputs else result

        return call

    def _before(self, one: Added, inner: Function) -> Function:
        async def call(data: Any, context: Context) -> Any:
            changed = self._checked(one, await one.function(data, self._stage, context))
            return await inner(changed, context)

        return call

    def _with_call(self, one: Added, inner: Function) -> Function:
        async def call(data: Any, context: Context) -> Any:
            def following(given: Any) -> Awaitable[Any]:
                return inner(self._checked(one, given), context)

            return await one.function(data, self._stage, context, following)

        return call

    def _checked(self, one: Added, data: Any) -> Any:
        """Require that the agent takes what the middleware gives it.

        Raises:
            EncodeError: it is of another type.
        """
        takes = self._takes
        if takes.tombstones if data is None else isinstance(data, takes.instance_of):
            return data
        wanted = getattr(takes.schema, "__name__", takes.schema)
        raise EncodeError(
            f"the middleware {one.name} gave stage {self._stage.stage_id!r} a value of type"
            f" {type(data).__name__}, which takes {wanted}"
        )

    def _shown(self, outputs: CheckedOutputs) -> list[Any]:
        """What a generator has yielded, as middleware sees it."""
        return [self._shown_one(*output) for output in outputs]

    def _shown_one(self, value: Any, key: Any, headers: Any, route: str | None) -> Any:
        is_tombstone = type(value) is EncodedValue and value.data is None
        if type(value) is EncodedValue and value.data is not None:
            try:
                value = self._gives.decode(value.data)
            except Exception as error:
                raise EncodeError(
                    f"stage {self._stage.stage_id!r} cannot read again what it yielded, so it can"
                    " have no middleware that wraps calls"
                ) from error
        if key is KEEP and headers is KEEP and route is None and not is_tombstone:
            return value
        return Out(None if is_tombstone else value, key=key, headers=headers, to=route)
