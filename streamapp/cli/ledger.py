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

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import orjson

from streamapp.cli.event_writer import WrittenBatch
from streamapp.errors import ConfigurationError, StreamappError
from streamapp.examples.playback.generator import EXPECTED_DEAD_LETTERS, EventKind

T = TypeVar("T")


def _expectation(kind: EventKind) -> dict[str, str]:
    if kind not in EXPECTED_DEAD_LETTERS:
        return {"expected": "scored"}
    stage, reason = EXPECTED_DEAD_LETTERS[kind]
    return {"expected": "dead_letter", "stage": stage, "reason": reason.value}


_EXPECTED = {kind: _expectation(kind) for kind in EventKind}


class Ledger:
    """Writes the ledger's file, beside the event loop; an existing one is replaced.

    Use it as `async with`; leaving writes what is noted and closes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []
        # One thread: what is handed over is written in that order, and closed after it.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            ConfigurationError: it cannot be written.
        """
        try:
            self._file: BinaryIO = await self._in_thread(lambda: self._path.open("wb"))
        except OSError as error:
            self._thread.shutdown(wait=False)
            raise ConfigurationError(self._refusal(error)) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.flush()
        finally:
            await self._in_thread(self._file.close)
            self._thread.shutdown(wait=False)

    def acknowledged(self, batch: WrittenBatch) -> None:
        """Note a batch that is written."""
        self._note(batch, "acknowledged", batch.base_offset)

    def unknown(self, batch: WrittenBatch) -> None:
        """Note a batch of which nobody knows whether it is written."""
        self._note(batch, "unknown", None)

    async def flush(self) -> None:
        """Write what is noted.

        Raises:
            StreamappError: the disk does not take it.
        """
        noted, self._lines = b"".join(self._lines), []
        try:
            await self._in_thread(lambda: self._file.write(noted))
        except OSError as error:
            raise StreamappError(self._refusal(error)) from error

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Call it in the thread; once begun it ends, also when the caller is cancelled."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, call))

    def _refusal(self, error: OSError) -> str:
        return f"the ledger {self._path} cannot be written: {error.strerror}"

    def _note(self, batch: WrittenBatch, status: str, base_offset: int | None) -> None:
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
            self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
