"""Entries that somebody gives to be added to a section of a configuration file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamapp.configuration.check import Fault
from streamapp.configuration.file import tell_faults
from streamapp.configuration.located_json import LocatedJson
from streamapp.errors import ConfigurationError

Place = tuple[str | int, ...]
"""The path of a value in a document."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The document that entries are from.

    Attributes:
        path: the name of its file.
        document: what stands in it.
        places: where each entry stands, by its name.
    """

    path: Path
    document: LocatedJson
    places: Mapping[str, Place]

    def tell(self, faults: Iterable[Fault]) -> Iterator[str]:
        """One line for each fault, with its place in this document."""
        moved = [(self._place(where), sentence) for where, sentence in faults]
        return tell_faults(self.path, self.document, moved)

    def _place(self, where: Place) -> Place:
        own = self.places.get(str(where[1])) if len(where) > 1 else None
        return where if own is None else (*own, *where[2:])


@dataclass(frozen=True, slots=True)
class GivenEntries:
    """Entries of one section, such as agents, and where each stands.

    Attributes:
        section: name of the section, such as `data_agents`.
        entries: their fields by name, in the order in which they were given.
        origin: the document that they are from; `None` if they are from none.
    """

    section: str
    entries: Mapping[str, Mapping[str, Any]]
    origin: Origin | None = None

    def refuse(self, faults: Iterable[Fault]) -> None:
        """Refuse the entries if there are faults.

        Args:
            faults: with paths in a configuration file: section, name and so on.

        Raises:
            ConfigurationError: one line for each fault, with line and column where there are some.
        """
        found = list(faults)
        if found:
            told = [one for _, one in found] if self.origin is None else self.origin.tell(found)
            raise ConfigurationError("\n".join(told))
