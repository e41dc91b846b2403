"""Middleware that is told of dead letters."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias

from streamapp.pipeline.middleware import Letter
from streamapp.pipeline.topology import Step
from streamapp.runtime.dead_letters import Failure
from streamapp.runtime.work import Work

log = logging.getLogger(__name__)

Listener: TypeAlias = Callable[[Letter], None]


def listeners_of(step: Step) -> tuple[Listener, ...]:
    """What the middleware of a step wants to have called."""
    found = (one.dead_lettered for one in step.middleware)
    return tuple(one for one in found if one is not None)


def tell_of_letter(listeners: Iterable[Listener], work: Work, failure: Failure, topic: str) -> None:
    """Tell of a dead letter; a listener that fails is logged, and the letter is written.

    Args:
        listeners: who is told.
        work: what has failed.
        failure: how.
        topic: the dead-letter topic.
    """
    (partition, record), item = work.origin, work.item
    for tell in listeners:
        letter = Letter(
            pipeline=failure.pipeline,
            stage=failure.stage,
            topic=topic,
            partition=partition,
            offset=record.offset,
            headers=record.headers if item is None else item.headers,
            error=failure.error,
            reason=failure.reason,
            attempts=failure.attempts,
        )
        try:
            tell(letter)
        except Exception:
            log.exception("middleware that is told of dead letters has failed")
