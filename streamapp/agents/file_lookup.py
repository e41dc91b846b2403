"""Adds what a file says of the key of each object."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from streamapp.agents.lookup import Lookup, LookupConfiguration
from streamapp.agents.table_file import Table, TableFormat, Version, read_table, version_of
from streamapp.clock import current_clock
from streamapp.errors import ConfigurationError
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.configured_path import ConfiguredPath

log = logging.getLogger(__name__)

_NO_FILE: Version = (-1, -1, -1)


class FileLookupConfiguration(LookupConfiguration):
    """Configuration of a `FileLookup`.

    Attributes:
        path: the file: JSON or CSV, in UTF-8; if it is relative, from the folder of the
            configuration file that declares the agent, else from the working directory.
        format: how it is written; by default, as its name ends.
        key_field: field or column with the key of an entry; a JSON file without it is an object of
            entries by key.
        check_seconds: how often it is looked at whether the file was changed.
        max_bytes: largest size of the file; it is kept in memory.
    """

    path: ConfiguredPath
    format: TableFormat | None = None
    key_field: str | None = None
    check_seconds: float = Field(default=10.0, gt=0)
    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.form is TableFormat.CSV and self.key_field is None:
            raise ValueError("a CSV file needs 'key_field': the column with the key")
        return self

    @property
    def form(self) -> TableFormat:
        """How the file is written.

        Raises:
            ValueError: nothing says it.
        """
        ending = self.path.suffix.removeprefix(".").lower()
        try:
            return self.format or TableFormat(ending)
        except ValueError as error:
            raise ValueError("give 'format', json or csv: the name of the file has none") from error


class FileLookup:
    """Adds what a file says of the key of each object.

    The file is read when the agent opens, and again when it was changed. While a changed file
    cannot be used, which the log says, what was read before stays in use.

    Raises:
        ConfigurationError: in `open`, if the file cannot be used.
        Permanent: nothing is known of a key, or it is no key.
    """

    capabilities = (Capability.DATA_ENRICHMENT,)
    Configuration = FileLookupConfiguration

    def __init__(self, configuration: FileLookupConfiguration) -> None:
        self._configuration = configuration
        self._lookup = Lookup(configuration)
        self._entries: Mapping[str, bytes] = {}
        self._version = _NO_FILE
        self._refused: Version | None = None
        self._next_check = 0.0

    async def open(self) -> None:
        """Read the file."""
        self._take(await asyncio.to_thread(self._read))
        self._put_off_check()

    async def close(self) -> None:
        """Forget what was read."""
        self._entries = {}

    async def __call__(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object, with what is known of its key."""
        if current_clock().monotonic() >= self._next_check:
            self._put_off_check()  # others go on with what is there meanwhile
            await self._read_if_changed()
        key = self._lookup.key(value)
        return self._lookup.joined(value, None if key is None else self._entries.get(key))

    def _put_off_check(self) -> None:
        self._next_check = current_clock().monotonic() + self._configuration.check_seconds

    async def _read_if_changed(self) -> None:
        path = self._configuration.path
        version = _NO_FILE
        try:
            version = await asyncio.to_thread(version_of, path)
            if version not in (self._version, self._refused):
                self._take(await asyncio.to_thread(self._read))
        except (ConfigurationError, OSError) as error:
            # Told once for each version, and not each time it is looked at.
            if version != self._refused:
                log.warning("a lookup goes on with what it read of %s before: %s", path, error)
            self._refused = version

    def _read(self) -> Table:
        configuration = self._configuration
        return read_table(
            configuration.path,
            configuration.form,
            configuration.key_field,
            configuration.max_bytes,
        )

    def _take(self, table: Table) -> None:
        self._entries, self._version = table.entries, table.version
