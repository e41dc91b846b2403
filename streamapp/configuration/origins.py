"""Where the values of a configuration come from: the file, the environment or a default."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamapp.configuration.file import ConfigurationFile
from streamapp.configuration.overrides import variables

ENTRIES = ("data_agents", "data_pipelines", "data_providers")
"""Sections whose entries stand in the file wholly: what they leave out is a default."""


_LINE_END = re.compile("\n")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from; a default if neither is set.

    Attributes:
        variable: the environment variable that sets it.
        file: the file in which it stands.
        line: its line there, from 1.
    """

    variable: str | None = None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """It, for a table."""
        return self.variable or (f"file, line {self.line}" if self.file else "default")

    def as_json(self) -> dict[str, Any]:
        """It, as JSON can hold it."""
        if self.variable is not None:
            return {"from": "environment", "variable": self.variable}
        if self.file is not None:
            return {"from": "file", "file": self.file, "line": self.line}
        return {"from": "default"}


def origins_of(
    file: ConfigurationFile, environment: Mapping[str, str]
) -> Iterator[tuple[str, str, Origin]]:
    """Section, name and origin of every setting, and of every entry of the other sections.

    Args:
        file: what was read.
        environment: the variables that it was read with.
    """
    stands_at = _Places(file)
    for variable, section, name in variables():
        if environment.get(variable):
            yield section, name, Origin(variable=variable)
        elif name in file.document.data.get(section, {}):
            yield section, name, stands_at.origin(section, name)
        else:
            yield section, name, Origin()
    for section in ENTRIES:
        for name in sorted(getattr(file.configuration, section)):
            yield section, name, stands_at.origin(section, name)


class _Places:
    """Lines of a file; finding the line ends once is enough for any number of values."""

    def __init__(self, file: ConfigurationFile) -> None:
        self._file = file
        self._ends = [found.start() for found in _LINE_END.finditer(file.document.text)]

    def origin(self, *path: str) -> Origin:
        """The place of what stands in the file at a path."""
        index = self._file.document.index_of(path)
        return Origin(file=str(self._file.path), line=bisect_left(self._ends, index) + 1)
