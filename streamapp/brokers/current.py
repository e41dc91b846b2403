"""The broker of the run, for agents that read topics of their own."""

from contextlib import AbstractContextManager

from streamapp.brokers.protocols import Broker
from streamapp.errors import ConfigurationError
from streamapp.in_use import InUse

_IN_USE: InUse[Broker | None] = InUse("broker", None)


def current_broker() -> Broker:
    """The broker of the service that this code is part of.

    Raises:
        ConfigurationError: it is part of none, as in an execution in process.
    """
    broker = _IN_USE.get()
    if broker is None:
        raise ConfigurationError(
            "there is no broker here to read a topic of; run the pipeline as a service"
        )
    return broker


def broker_in_use(broker: Broker) -> AbstractContextManager[None]:
    """Make it the current broker of what is called, and of tasks that are created, within."""
    return _IN_USE.set(broker)
