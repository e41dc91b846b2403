"""Finds background tasks of a Kafka client that have ended while it runs.

An error that aiokafka 0.14 does not expect ends the task that meets it, and nothing starts it
again: the consumer would be polled for ever, without a partition or without a record.
"""

import asyncio
from typing import Any

from streamapp.errors import ConsumerEndedError

_TASKS = (
    ("_coordinator", "_coordination_task", "membership of its group"),
    ("_fetcher", "_fetch_task", "fetching"),
    ("_client", "_sync_task", "metadata"),
)
"""Part of the client, the attribute there, and what the task is for."""


def require_tasks(client: Any, group: str) -> None:
    """Require all background tasks of a consumer to run.

    Raises:
        ConsumerEndedError: one has ended; says which, and why.
    """
    for part, attribute, purpose in _TASKS:
        task: asyncio.Task[object] | None = getattr(getattr(client, part), attribute)
        if task is not None and task.done():
            error = None if task.cancelled() else task.exception()
            why = f"{purpose}: {error!r}" if error is not None else purpose
            raise ConsumerEndedError(
                f"group {group!r}: the Kafka client has ended by itself ({why}); it has to be "
                "started anew"
            )
