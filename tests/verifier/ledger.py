"""The ledger of `streamapp generate`: what was sent, one JSON object a line."""

import json
from dataclasses import dataclass
from pathlib import Path


class LedgerError(Exception):
    """The ledger cannot be used: it is empty, or a line is not as it should be."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One record that was sent.

    Attributes:
        event_id: what its header `event-id` says; sent again, an event keeps it.
        key: its key, as text.
        acknowledged: whether the broker said that it has it; else nobody knows.
        dead_letter: stage and reason of the dead letter that it has to become; `None` is the sink.
    """

    event_id: str
    key: str
    acknowledged: bool = True
    dead_letter: tuple[str, str] | None = None


def read_ledger(path: Path) -> list[Sent]:
    """Read a ledger.

    Raises:
        LedgerError: it holds no acknowledged record, or a line is not as it should be.
    """
    sent: list[Sent] = []
    with path.open() as lines:
        for number, line in enumerate(lines, 1):
            try:
                sent.append(_sent(json.loads(line)))
            except (ValueError, KeyError) as error:
                raise LedgerError(f"{path}, line {number}: {error!r}") from error
    if not any(one.acknowledged for one in sent):
        raise LedgerError(f"{path} holds nothing acknowledged, so nothing can be verified")
    return sent


def _sent(line: dict[str, str]) -> Sent:
    if line["status"] not in ("acknowledged", "unknown"):
        raise ValueError(f"status {line['status']!r}")
    if line["expected"] not in ("scored", "dead_letter"):
        raise ValueError(f"expected {line['expected']!r}")
    return Sent(
        event_id=line["event_id"],
        key=line["key"],
        acknowledged=line["status"] == "acknowledged",
        dead_letter=(line["stage"], line["reason"]) if line["expected"] != "scored" else None,
    )
