"""Parses fetched batches: with the native leaves, or with the Kafka client's compiled parser.

The client parses what it has fetched with its `MemoryRecords`, which keeps the bytes to itself.
`replace_parser` has our consumers use another in its place. Where the native leaves run, that is
`NativeLog`, so that records stay positions in these bytes until they are asked for; elsewhere it is
`ClientLog`, because `MemoryRecords` reads all batches in the format of the first. Batches of the
formats before the second are parsed by the client in any case, and compressed ones are decompressed
by its codecs.
"""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeAlias

from aiokafka import codec
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.memory_records import MemoryRecords

from streamapp.brokers.fetched import FetchedList
from streamapp.native_leaves import SELECTED, native
from streamapp.record import Record

if TYPE_CHECKING:
    import streamapp_native

Parsed: TypeAlias = "FetchedList | streamapp_native.Fetched"
"""`protocols.FetchedRecords` of which parts can be taken, joined with others of their kind."""

_Codec: TypeAlias = tuple[str, Callable[[], bool], Callable[[bytes], bytes]]

_LENGTH_AT, _LENGTH_END, _MAGIC_END = 8, 12, 17
"""Where the length of a batch stands, and behind what its format does: the same in all formats."""

_CODECS: Mapping[int, Callable[[], _Codec]] = {
    # Looked up at each use: a library that is missing is told then.
    1: lambda: ("gzip", codec.has_gzip, codec.gzip_decode),
    2: lambda: ("snappy", codec.has_snappy, codec.snappy_decode),
    3: lambda: ("lz4", codec.has_lz4, codec.lz4_decode),
    4: lambda: ("zstd", codec.has_zstd, codec.zstd_decode),
}


class NativeLog:
    """The batches of a response; in the place of the client's `MemoryRecords`.

    Args:
        data: what the broker has sent of one partition.
    """

    __slots__ = ("_log", "has_next", "size_in_bytes")

    def __init__(self, data: bytes) -> None:
        self._log = native.Log(data)
        self.has_next = self._log.has_next
        self.size_in_bytes = self._log.size_in_bytes

    def next_batch(self) -> Any:
        """The next batch; `None` after the last.

        Raises:
            CorruptRecordException: it is too short to be one.
        """
        try:
            batch = self._log.next_batch()
        except ValueError as error:
            raise CorruptRecordException(str(error)) from error
        return MemoryRecords(batch).next_batch() if isinstance(batch, bytes) else batch


class ClientLog:
    """The batches of a response, parsed by the client, each in its own format.

    A log whose topic was written with an older format at first has both, and Kafka sends them as
    they stand there.

    Args:
        data: what the broker has sent of one partition.
    """

    __slots__ = ("_bytes", "_parts")

    def __init__(self, data: bytes) -> None:
        self._bytes = len(data)
        self._parts = deque(map(MemoryRecords, _by_format(data)))

    def size_in_bytes(self) -> int:
        """Bytes of the response."""
        return self._bytes

    def has_next(self) -> bool:
        """Whether another batch is there whole: a broker may send the beginning of one."""
        while len(self._parts) > 1 and not self._parts[0].has_next():
            self._parts.popleft()
        return bool(self._parts) and self._parts[0].has_next()

    def next_batch(self) -> Any:
        """The next batch; `None` after the last.

        Raises:
            CorruptRecordException: it is too short to be one.
        """
        return self._parts[0].next_batch() if self.has_next() else None


def _by_format(data: bytes) -> list[bytes]:
    """Split a response where the format of its batches changes; most have one."""
    starts: list[int] = []
    place, latest = 0, -1
    while (head := data[place : place + _MAGIC_END]) and len(head) == _MAGIC_END:
        if head[-1] != latest:
            latest = head[-1]
            starts.append(place)
        # A negative length is an error of this batch, which the client tells.
        length = max(0, int.from_bytes(head[_LENGTH_AT:_LENGTH_END], "big", signed=True))
        place += _LENGTH_END + length
    if len(starts) < 2:  # noqa: PLR2004 - nothing changes
        return [data]
    return [data[a:b] for a, b in pairwise([*starts, len(data)])]


def log_of(data: bytes) -> Any:
    """The batches of a response, for the parser that runs."""
    return _LOG(data)


_LOG: Any = NativeLog if SELECTED.is_native else ClientLog


def replace_parser(client: Any) -> None:
    """Have a client that has fetched nothing yet parse what it fetches as `log_of` does."""
    fetcher = client._fetcher  # noqa: SLF001 - there is no public way
    receive = type(fetcher)._proc_fetch_request  # noqa: SLF001 - the same
    # The client's own code, but for one name in it; other clients in this process keep theirs.
    names = {**receive.__globals__, "MemoryRecords": _LOG}
    own = FunctionType(receive.__code__, names, receive.__name__, receive.__defaults__)
    fetcher._proc_fetch_request = MethodType(own, fetcher)  # noqa: SLF001 - the same


def parse(batch: Any) -> tuple[Parsed, Exception | None]:
    """The records of a batch: those before the first that is broken, and the error of that one.

    Raises:
        Exception: the batch cannot be decompressed.
    """
    if SELECTED.is_native and isinstance(batch, native.LogBatch):
        found, error = batch.parse(_decompressed(batch))
        return found, None if error is None else CorruptRecordException(error)
    records: list[Record] = []
    try:
        records.extend(batch)  # keeps the records before one that raises
    except Exception as error:  # noqa: BLE001 - given back with what stands before it
        return FetchedList(records), error
    return FetchedList(records), None


def join(first: Parsed, second: Parsed) -> "Parsed | None":
    """Put records together; `None` if only one of both was parsed by the native leaves."""
    if isinstance(first, FetchedList):
        return first.joined(second) if isinstance(second, FetchedList) else None
    return None if isinstance(second, FetchedList) else first.joined(second)


def _decompressed(batch: "streamapp_native.LogBatch") -> bytes | None:
    """The records of a batch as they were before they were compressed; `None` if they were not."""
    if not batch.compression_type:
        return None
    if batch.compression_type not in _CODECS:
        raise UnsupportedCodecError(f"Unknown compression codec {batch.compression_type:#04x}")
    name, is_there, decode = _CODECS[batch.compression_type]()
    if not is_there():
        raise UnsupportedCodecError(f"Libraries for {name} compression codec not found")
    return decode(batch.payload)
