"""The ledger: what `streamapp generate` has sent, so that others can check what became of it.

One JSON object a line:

```json
{"event_id": "s1-000000000000002a-7", "key": "s1-000000000000002a", "kind": "good",
 "sequence": 7, "partition": 3, "offset": 123, "status": "acknowledged", "expected": "scored"}
```

`status` is `acknowledged`, or `unknown` for what was sent and not acknowledged before the end: it
may be in the topic or not. `offset` is null where it is not known. `expected` is `scored`, or
`dead_letter` with the `stage` and the `reason`. A duplicate has the id of the event it repeats.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from streamapp.cli.event_writer import WrittenBatch
from streamapp.errors import ConfigurationError
from streamapp.examples.playback.generator import EXPECTED_DEAD_LETTERS, EventKind


def _expectation(kind: EventKind) -> dict[str, str]:
    if kind not in EXPECTED_DEAD_LETTERS:
        return {"expected": "scored"}
    stage, reason = EXPECTED_DEAD_LETTERS[kind]
    return {"expected": "dead_letter", "stage": stage, "reason": reason.value}


_EXPECTED = {kind: _expectation(kind) for kind in EventKind}


class Ledger:
    """Writes the ledger's file; an existing one is replaced.

    Raises:
        ConfigurationError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("wb", buffering=1 << 20)
        except OSError as error:
            raise ConfigurationError(
                f"the ledger {path} cannot be written: {error.strerror}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def acknowledged(self, batch: WrittenBatch) -> None:
        """Note a batch that is written."""
        self._write(batch, "acknowledged", batch.base_offset)

    def unknown(self, batch: WrittenBatch) -> None:
        """Note a batch of which nobody knows whether it is written."""
        self._write(batch, "unknown", None)

    def _write(self, batch: WrittenBatch, status: str, base_offset: int | None) -> None:
        lines = []
        partition = batch.partition
        for index, (key, _, _, kind, event_id) in enumerate(batch.events):
            line = {
                "event_id": event_id.decode(),
                "key": key.decode(),
                "kind": kind.value,
                "sequence": int(event_id[event_id.rindex(b"-") + 1 :]),
                "partition": partition,
                "offset": None if base_offset is None else base_offset + index,
                "status": status,
                **_EXPECTED[kind],
            }
            lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        self._file.write(b"".join(lines))
