"""Calls a part of an agent, whatever shape it has."""

import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import Any

from typing_extensions import is_typeddict

from streamapp.errors import EncodeError, TooManyOutputsError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.copies import copier_for
from streamapp.pipeline.context import Context
from streamapp.pipeline.fits import bare, fits, type_name
from streamapp.pipeline.out import Out
from streamapp.pipeline.part_figures import counted, not_counted
from streamapp.pipeline.signature import Shape
from streamapp.pipeline.threads import in_thread
from streamapp.tombstones import takes_tombstones

MOST_COLLECTED_OUTPUTS = 10_000
"""A generator that has to be collected fails when it gives more: its outputs are in memory."""


class Part:
    """An agent as a combinator calls it.

    Attributes:
        agent: the agent.
        name: its name.
        copy_output: copies one value that it gave.
        is_async: whether its calls are awaited.
        yields: whether it gives its outputs one by one, so that they need not be in memory at once.
    """

    def __init__(self, agent: Agent[Any, Any]) -> None:
        self.agent = agent
        self.name = agent.name
        self.is_async = agent.is_async
        self._takes_context = agent.takes_context
        self.copy_output = copier_for(agent.output_type)
        is_iterator = agent.shape in (Shape.ITERATOR, Shape.ASYNC_ITERATOR)
        self.yields = is_iterator and not agent.blocking
        self._function: Callable[..., Any] = agent.function
        if agent.blocking:
            self._function = in_thread(self._collected if is_iterator else agent.function)
        self._class = _class_of(agent.output_type)
        # A branch that has the name of its agent is not counted: the agent is, with each retry.
        is_alike = any(part.name == agent.name for part in agent.parts)
        self._counted = not_counted if is_alike else partial(counted, agent.name)
        self._none_is_value = takes_tombstones(agent.output_type) and not agent.results.none

    async def result(self, value: Any, context: Context | None) -> Any:
        """What a call gives: nothing, one output, or a list; a generator's outputs are collected.

        Raises:
            TooManyOutputsError: a generator gave more than can be collected.
        """
        if self.yields:
            found: list[Any] = []
            async with aclosing(self.outputs(value, context)) as outputs:
                async for one in outputs:
                    # The generator may go on to change what it has yielded.
                    self._collect(found, one)
            return found
        with self._counted():
            result = self._started(value, context)
            return await result if self.is_async else result

    def result_at_once(self, value: Any, context: Context | None) -> Any:
        """The same of a part that is neither async nor a generator, without a coroutine."""
        with self._counted():
            return self._started(value, context)

    async def outputs(self, value: Any, context: Context | None) -> AsyncGenerator[Any, None]:
        """The outputs of a call, each when it comes."""
        if not self.yields:
            result = await self.result(value, context)
            for one in () if result is None else result if type(result) is list else (result,):
                yield one
            return
        with self._counted():
            outputs = self._started(value, context)
            if self.agent.shape is Shape.ITERATOR:
                for one in outputs:
                    yield one
                return
            try:
                async for one in outputs:
                    yield one
            finally:
                if isinstance(outputs, AsyncGenerator):
                    await outputs.aclose()

    def one_value(self, result: Any) -> Any:
        """Require a result to be exactly one bare value of the declared type.

        Raises:
            EncodeError: it is none, several, an `Out`, or of another type.
        """
        if result is None and not self._none_is_value:
            raise EncodeError(f"agent {self.name!r} gave None, where one value is needed")
        if type(result) in (list, Out):
            what = "a list" if type(result) is list else "an Out"
            raise EncodeError(f"agent {self.name!r} gave {what}, where one value is needed")
        self._check_type(result)
        return result

    def check_types(self, result: Any) -> None:
        """Require every output of a result to be of the declared type.

        Raises:
            EncodeError: one is not.
        """
        if result is None:
            return
        for one in result if type(result) is list else (result,):
            value = one.value if type(one) is Out else one
            if value is not None or type(one) is not Out:  # Out(None) is a matter of its topic
                self._check_type(value)

    def _check_type(self, value: Any) -> None:
        class_ = self._class
        if class_ is object or isinstance(value, class_) or fits(type(value), class_):
            return
        raise EncodeError(
            f"agent {self.name!r} gave a value of type {type(value).__name__}, and is declared to"
            f" give {type_name(class_)}"
        )

    def _started(self, value: Any, context: Context | None) -> Any:
        return self._function(value, context) if self._takes_context else self._function(value)

    def _collected(self, *args: Any) -> list[Any]:
        """The outputs of a blocking generator, all from its thread."""
        found: list[Any] = []
        for one in islice(self.agent.function(*args), MOST_COLLECTED_OUTPUTS + 1):
            self._collect(found, one)
        return found

    def _collect(self, found: list[Any], one: Any) -> None:
        if len(found) >= MOST_COLLECTED_OUTPUTS:
            raise TooManyOutputsError(
                f"agent {self.name!r} gave more than {MOST_COLLECTED_OUTPUTS} outputs for one"
                " value; they have to be collected here"
            )
        found.append(self.copy_output(one))


def _class_of(type_: Any) -> Any:
    """The class that values of a type are instances of; `object` if no single class is."""
    class_ = bare(type_)
    is_class = inspect.isclass(class_) and not is_typeddict(class_)
    return class_ if is_class and not getattr(class_, "_is_protocol", False) else object
