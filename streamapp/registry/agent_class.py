"""What a class needs so that its objects are agents.

```python
class Scorer:
    capabilities = (Capability.DATA_TRANSFORMATION,)

    class Configuration(BaseModel):
        threshold: float = 0.5

    def __init__(self, configuration: Configuration) -> None: ...
    async def open(self) -> None: ...     # if it has clients, and then `close` as well
    async def close(self) -> None: ...
    async def __call__(self, session: Session) -> Scored: ...
```

Objects have a `__call__` like the function of any agent. With a `Configuration` the class is called
with one; without, it is called with nothing. `capabilities` may be left out.

With `takes_batches = True` the objects are batch agents: their `__call__` takes a list, and their
attribute `batching`, a `Batching`, says how large batches are and how long they wait.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pydantic import BaseModel

from streamapp.errors import PipelineError, RegistryError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.batching import Batching
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.signature import Signature, inspect_signature


def signature_of(class_: type[Any]) -> Signature:
    """Types and shape of the agents that a class makes.

    Raises:
        RegistryError: its objects are no agents.
    """
    call = vars_of(class_).get("__call__")
    if not inspect.isfunction(call):
        raise RegistryError(
            f"the class {class_.__qualname__} is no agent: give it a method __call__ that takes a"
            " value and returns its output"
        )
    try:
        return inspect_signature(partial(call, None), in_batches=takes_batches(class_))
    except PipelineError as error:
        raise RegistryError(f"the class {class_.__qualname__} is no agent: {error}") from error


def vars_of(class_: type[Any]) -> dict[str, Any]:
    """The attributes of a class and of those that it inherits from, but for `object`."""
    found: dict[str, Any] = {}
    for one in reversed(class_.__mro__[:-1]):
        found |= vars(one)
    return found


def configuration_model(class_: type[Any]) -> type[BaseModel] | None:
    """The model of its configuration; `None` if it has none.

    Raises:
        RegistryError: `Configuration` is no pydantic model.
    """
    model = vars_of(class_).get("Configuration")
    if model is None:
        return None
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise RegistryError(
            f"the class {class_.__qualname__}: Configuration is {model!r}; give a pydantic model"
        )
    return model


def capabilities_of(class_: type[Any]) -> tuple[Capability, ...]:
    """The kinds of work that it says it offers.

    Raises:
        RegistryError: one is no capability.
    """
    given = vars_of(class_).get("capabilities", ())
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise RegistryError(
            f"the class {class_.__qualname__}: capabilities is {given!r}; give a tuple of them"
        )
    try:
        return tuple(Capability(one) for one in given)
    except ValueError as error:
        raise RegistryError(f"the class {class_.__qualname__}: {error}") from error


def takes_batches(class_: type[Any]) -> bool:
    """Whether the agents that a class makes work on batches."""
    return vars_of(class_).get("takes_batches", False) is True


def made(
    class_: type[Any],
    configuration: BaseModel | None,
    name: str,
    capabilities: Iterable[Capability],
) -> Agent[Any, Any]:
    """Make an object of the class, and an agent of it.

    Raises:
        RegistryError: the class raises.
    """
    try:
        made_object = class_() if configuration is None else class_(configuration)
        made_agent: Agent[Any, Any] = _decorator(class_, made_object, name, capabilities)(
            made_object
        )
    except Exception as error:
        raise RegistryError(
            f"agent {name!r}: {class_.__qualname__} could not be made:"
            f" {type(error).__name__}: {error}"
        ) from error
    return made_agent


def _decorator(
    class_: type[Any], made_object: Any, name: str, capabilities: Iterable[Capability]
) -> Callable[[Any], Agent[Any, Any]]:
    if not takes_batches(class_):
        return agent(name=name, capabilities=capabilities)
    batching: Batching = made_object.batching
    return batch_agent(
        size=batching.size,
        linger_seconds=batching.linger_seconds,
        name=name,
        capabilities=capabilities,
    )
