"""The ledger: what `streamapp generate` has sent and what each event should become.

One JSON object a line:

```json
{"event_id": "s1-000000000000002a-7", "key": "s1-000000000000002a", "kind": "good",
 "sequence": 7, "partition": 3, "offset": 123, "status": "acknowledged", "expected": "scored"}
```

`status` is `acknowledged`, or `unknown` for an event that was not acknowledged before the end: it
may or may not be in the topic. `offset` is null if it is not known. `expected` is `scored`, or
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
    """Writes the ledger in a thread; an existing file is replaced.

    Use it as `async with`: the end of the block writes the remaining lines and closes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []
        # One thread, so that writes keep their order and the file is closed after the last one.
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
        """Add the events of an acknowledged batch."""
        self._add(batch, "acknowledged", batch.base_offset)

    def unknown(self, batch: WrittenBatch) -> None:
        """Add the events of a batch that may or may not have been written."""
        self._add(batch, "unknown", None)

    async def flush(self) -> None:
        """Write the added lines to the file.

        Raises:
            StreamappError: the file cannot be written.
        """
        lines, self._lines = b"".join(self._lines), []
        try:
            await self._in_thread(lambda: self._file.write(lines))
        except OSError as error:
            raise StreamappError(self._refusal(error)) from error

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Call it in the thread; a call that has begun ends even if the caller is cancelled."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, call))

    def _refusal(self, error: OSError) -> str:
        return f"the ledger {self._path} cannot be written: {error.strerror}"

    def _add(self, batch: WrittenBatch, status: str, base_offset: int | None) -> None:
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
