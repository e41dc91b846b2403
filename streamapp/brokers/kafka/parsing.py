"""Parses fetched batches: with the native leaves, or with the Kafka client's compiled parser.

The client parses what it has fetched with its `MemoryRecords`, which keeps the bytes to itself.
Where the native leaves run, `keep_bytes` has our consumers use `NativeLog` in its place, so that
records stay positions in these bytes until they are asked for. Batches of the formats before the
second are parsed by the client in any case, and compressed ones are decompressed by its codecs.
"""

from collections.abc import Callable, Mapping
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


def log_of(data: bytes) -> Any:
    """The batches of a response, for the parser that runs."""
    return NativeLog(data) if SELECTED.is_native else MemoryRecords(data)


def keep_bytes(client: Any) -> None:
    """Have a client that has fetched nothing yet keep the bytes of what it fetches."""
    if not SELECTED.is_native:
        return
    fetcher = client._fetcher  # noqa: SLF001 - there is no public way
    receive = type(fetcher)._proc_fetch_request  # noqa: SLF001 - the same
    # The client's own code, but for one name in it; other clients in this process keep theirs.
    names = {**receive.__globals__, "MemoryRecords": NativeLog}
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
