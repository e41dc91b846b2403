"""The code objects of an agent, by which a stack is recognised as its own."""

from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

from streamapp.pipeline.agent import Agent


def codes_of(agent: Agent[Any, Any]) -> Iterator[CodeType]:
    """The code of the function of an agent; of an object, that of all its methods."""
    function: object = agent.function
    if isinstance(function, MethodType):
        function = function.__func__
    if isinstance(function, FunctionType):
        yield function.__code__
        return
    for kind in type(function).__mro__[:-1]:
        for member in vars(kind).values():
            if isinstance(member, FunctionType):
                yield member.__code__
