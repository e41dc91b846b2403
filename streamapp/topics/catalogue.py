"""The catalogue: the topics that the files of a folder declare.

```yaml
topics:
  - name: playback.raw
    description: Events as the players send them.
    partitions: 4
    keyed: true
    retention: 7d
    schema: schemas/raw_playback.json
```
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import TopicError
from streamapp.topics.declaration import DeclaredTopic
from streamapp.topics.located_yaml import LocatedYaml, YamlFaultError, parse_yaml

_SUFFIXES = {".yaml", ".yml"}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Declared topics by name, in the order of their files.

    Attributes:
        topics: the declarations.
    """

    topics: Mapping[str, DeclaredTopic] = field(default_factory=dict)

    def with_topics(self, topics: Iterable[DeclaredTopic], where: str) -> "Catalogue":
        """The same with topics that are declared elsewhere.

        Args:
            topics: the topics.
            where: where they are declared, for the error message.

        Raises:
            TopicError: a file of the folder declares one of them too, and otherwise.
        """
        found = dict(self.topics)
        for one in topics:
            if found.setdefault(one.name, one).spec() != one.spec():
                raise TopicError(
                    f"the topic {one.name!r} is declared in {where}, and otherwise in the folder of"
                    " topics: remove one"
                )
        return Catalogue(found)

    def specs(self) -> tuple[TopicSpec, ...]:
        """The declared topics as a broker creates them."""
        return tuple(topic.spec() for topic in self.topics.values())

    def unkeyed(self) -> frozenset[str]:
        """Topics in which a key may change its partition."""
        return frozenset(name for name, topic in self.topics.items() if not topic.keyed)


def read_catalogue(folder: Path) -> Catalogue:
    """Read every YAML file of a folder and report all their faults at once.

    Raises:
        TopicError: the folder has no declarations, or some are wrong. One line for each fault, with
            file, line, field and what is wrong.
    """
    if not folder.is_dir():
        raise TopicError(
            f"there is no folder {folder}: create it, and declare topics in YAML files"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    if not files:
        raise TopicError(f"the folder {folder} has no *.yaml file: declare topics in one")
    reader = _Reader()
    for path in files:
        reader.read(path)
    if reader.faults:
        raise TopicError("\n".join(reader.faults))
    return Catalogue(reader.topics)


class _TopicFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    topics: list[DeclaredTopic]


class _Reader:
    """Collects topics and faults from several files."""

    def __init__(self) -> None:
        self.topics: dict[str, DeclaredTopic] = {}
        self.faults: list[str] = []
        self._places: dict[str, str] = {}

    def read(self, path: Path) -> None:
        """Read one file."""
        try:
            document = parse_yaml(path.read_text(encoding="utf-8"))
        except YamlFaultError as error:
            self.faults.append(f"{path}:{error.line}: {error}")
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(f"{path}: the file cannot be read as UTF-8 text: {error}")
        else:
            self._take(path, document)

    def _take(self, path: Path, document: LocatedYaml) -> None:
        try:
            declared = _TopicFile.model_validate(document.data).topics
        except ValidationError as error:
            self.faults += _sentences(path, document, error)
            declared = []
        # Names and schema files are checked in a faulty file too, to report all faults at once.
        for index, name, schema in _names_and_schemas(document.data):
            at = f"{path}:{document.line_of(['topics', index, 'name'])}"
            if first := self._places.get(name):
                self.faults.append(
                    f"{at}: the topic {name!r} is declared already at {first}: remove one"
                )
            self._places.setdefault(name, at)
            if schema and (problem := _schema_problem(path.parent / schema)):
                line = document.line_of(["topics", index, "schema"])
                self.faults.append(f"{path}:{line}: topics[{index}].schema: {problem}")
        for topic in declared:
            self.topics.setdefault(topic.name, topic)


def _names_and_schemas(data: Any) -> Iterator[tuple[int, str, str | None]]:
    """Index, name and schema file of each declaration, valid or not."""
    topics = data.get("topics") if isinstance(data, dict) else None
    for index, topic in enumerate(topics if isinstance(topics, list) else ()):
        if isinstance(topic, dict) and isinstance(name := topic.get("name"), str):
            schema = topic.get("schema")
            yield index, name, schema if isinstance(schema, str) else None


def _schema_problem(path: Path) -> str | None:
    try:
        schema = json.loads(path.read_bytes())
    except OSError as error:
        return f"the file {path} cannot be read ({error.strerror}): correct the path"
    except ValueError as error:  # neither JSON nor text
        return f"the file {path} is not JSON: {error}"
    if not isinstance(schema, dict | bool):
        return f"the file {path} is not a JSON schema: it holds {type(schema).__name__}"
    return None


def _sentences(path: Path, document: LocatedYaml, error: ValidationError) -> Iterator[str]:
    if document.data is None:
        yield f"{path}: the file is empty: declare topics in it, or remove it"
        return
    for fault in error.errors():
        line = document.line_of([part for part in fault["loc"] if part != "[key]"])
        yield f"{path}:{line}: {_field(fault['loc'])}{_problem(fault)}"


def _field(loc: tuple[str | int, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return f"{text.lstrip('.')}: " if loc else ""


def _problem(fault: ErrorDetails) -> str:
    match fault["type"]:
        case "missing":
            return "is missing: add it"
        case "extra_forbidden":
            known = _TopicFile if len(fault["loc"]) == 1 else DeclaredTopic
            names = ", ".join(info.alias or name for name, info in known.model_fields.items())
            return f"there is no such field: the fields are {names}"
        case "model_type":
            return "give a mapping of field names to values"
        case "value_error":
            return f"{fault['ctx']['error']}, not {fault['input']!r}"
        case _:
            message = fault["msg"].removeprefix("Input ")
            return f"{message[0].lower()}{message[1:]}, not {fault['input']!r}"
