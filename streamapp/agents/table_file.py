"""Reads a table from a JSON or CSV file; blocking, so call it in a thread."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from streamapp.agents.kinds import UnfitError
from streamapp.errors import ConfigurationError

Version: TypeAlias = tuple[int, int, int]
"""Tells whether a file was changed: when, its size and its number."""


class TableFormat(StrEnum):
    """How a file is written."""

    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Table:
    """What a file says of each key.

    Attributes:
        entries: JSON by key.
        version: of the file.
    """

    entries: Mapping[str, bytes]
    version: Version


def version_of(path: Path) -> Version:
    """The version of the file that is there now.

    Raises:
        OSError: there is none.
    """
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_table(path: Path, form: TableFormat, key_field: str | None, max_bytes: int) -> Table:
    """Read a table.

    Args:
        path: the file.
        form: how it is written, in UTF-8.
        key_field: the field or column with the key of an entry; without it, a JSON file is an
            object of entries by key.
        max_bytes: largest size of the file.

    Raises:
        ConfigurationError: it cannot be read, is too large, or is no such table.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ConfigurationError(f"path: {path} cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise ConfigurationError(f"path: {path} is larger than max_bytes, {max_bytes}")
    try:
        text = data.decode("utf-8-sig")
        rows = _READ[form](text, key_field)
        entries = dict(_without_repetition(rows))
    except (ValueError, RecursionError, csv.Error) as error:
        raise ConfigurationError(f"path: {path} is no such table: {error}") from error
    return Table(entries, (found.st_mtime_ns, found.st_size, found.st_ino))


_Rows: TypeAlias = Iterable[tuple[str, str, bytes]]
"""For each entry where it stands, its key, and its JSON."""


def _without_repetition(rows: _Rows) -> Iterator[tuple[str, bytes]]:
    seen: dict[str, str] = {}
    for where, key, entry in rows:
        if key in seen:
            raise ValueError(f"{where} has the key {key!r} of {seen[key]} again")
        seen[key] = where
        yield key, entry


def _json_rows(text: str, key_field: str | None) -> _Rows:
    found = json.loads(text, object_pairs_hook=_fields, parse_constant=_refuse_constant)
    if key_field is None:
        if not isinstance(found, dict):
            raise UnfitError("it is no object of entries by key; give 'key_field' for a list")
        return [(f"entry {key!r}", key, _bytes(entry)) for key, entry in found.items()]
    if not isinstance(found, list):
        raise UnfitError("it is no list of objects; drop 'key_field' for an object")
    return [
        (where := f"entry {i}", _key_in(entry, key_field, where), _bytes(entry))
        for i, entry in enumerate(found)
    ]


def _csv_rows(text: str, key_field: str | None) -> _Rows:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(rows, [])
    if key_field not in header or len({*header}) < len(header):
        raise ValueError(f"its first line has to name its columns, among them {key_field!r} once")
    for row in rows:
        where = f"line {rows.line_num}"
        if not row:
            continue
        if len(row) != len(header):
            raise ValueError(f"{where} has {len(row)} values, and the first line {len(header)}")
        entry = dict(zip(header, row, strict=True))
        yield where, _key_in(entry, str(key_field), where), _bytes(entry)


def _key_in(entry: Any, key_field: str, where: str) -> str:
    key = entry.get(key_field) if isinstance(entry, dict) else None
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise UnfitError(f"{where} has no text or integer as {key_field!r}")
    return str(key)


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the field {twice!r} twice")
    return found


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"JSON has no {constant}")


def _bytes(entry: Any) -> bytes:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


_READ: Mapping[TableFormat, Callable[[str, str | None], _Rows]] = {
    TableFormat.JSON: _json_rows,
    TableFormat.CSV: _csv_rows,
}
