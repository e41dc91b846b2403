"""The audit trail of records: one that comes with them, and how long it may become."""

import json
from collections import Counter
from collections.abc import Callable

from streamapp.record import CONTEXT_HEADER, Record
from tests.simulation.loop import EPOCH_SECONDS

MOST_HISTORY_BYTES = 4096
"""Longest audit trail between two topics."""

_ENTRIES = 66


def long_history(number: int) -> bytes:
    """An audit trail as another pipeline has left it: hardly another entry fits."""
    began = int(EPOCH_SECONDS * 1000)
    entry = [f"stage-{number}", "agent", "1.0", began, 0.25, 1, "processed"]
    content = {"v": 1, "start": began, "history": [entry] * _ENTRIES}
    return json.dumps(content, separators=(",", ":")).encode()


def check_history(
    told: str, record: Record, complain: Callable[[str], None], checks: Counter[str]
) -> None:
    """The audit trail may take no more bytes than promised."""
    for name, content in record.headers:
        if name == CONTEXT_HEADER:
            checks["history"] += 1
            size = len(content or b"")
            if size > MOST_HISTORY_BYTES:
                complain(f"{told} has an audit trail of {size} bytes")
