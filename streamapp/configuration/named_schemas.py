"""Names of schemas: a JSON schema with a title binds that name, for the whole file.

A title is what JSON schemas have for it, and what pydantic writes. So the schema stands in full at
one place, and all others, before it or after, name it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue

from streamapp.configuration.composition import Combined, Composition, walk_composition
from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_topics import PatternEnd, TopicEnd
from streamapp.configuration.secrets import Path

NamedSchema = tuple[Path, str, dict[str, JsonValue]]
"""Where a schema stands, its name, and the schema."""


def named_schemas(configuration: Configuration) -> Iterator[NamedSchema]:
    """The JSON schemas that bind a name, at each of their places."""
    for agent_id, definition in configuration.data_agents.items():
        for field in ("input_schema", "output_schema"):
            yield from _named(("data_agents", agent_id, field), getattr(definition, field))
    for name, declared in configuration.data_pipelines.items():
        yield from _of_pipeline(("data_pipelines", name), declared)


def conflicts(configuration: Configuration) -> Iterator[tuple[Path, Path, str]]:
    """Each place where a name is bound to another schema than at the first, that, and the name."""
    first: dict[str, tuple[Path, Mapping[str, JsonValue]]] = {}
    for path, name, schema in named_schemas(configuration):
        known_at, known = first.setdefault(name, (path, schema))
        if known != schema:
            yield path, known_at, name


def _of_pipeline(where: Path, declared: DeclaredPipeline) -> Iterator[NamedSchema]:
    several = isinstance(declared.source, list)
    for number, one in enumerate(declared.source if several else [declared.source]):
        if isinstance(one, TopicEnd | PatternEnd):
            at: Path = (*where, "source", number) if several else (*where, "source")
            yield from _named((*at, "schema"), one.value_schema)
    if isinstance(declared.sink, TopicEnd):
        yield from _named((*where, "sink", "schema"), declared.sink.value_schema)
    for number, stage in enumerate(declared.stages):
        if isinstance(stage.agent, Combined):
            yield from _of_composition((*where, "stages", number, "agent"), stage.agent)


def _of_composition(where: Path, composition: Composition) -> Iterator[NamedSchema]:
    for path, one in walk_composition(composition, where):
        if isinstance(one, Combined):
            yield from _named((*path, "output_schema"), one.output_schema)


def _named(path: Path, reference: Any) -> Iterator[NamedSchema]:
    if isinstance(reference, dict) and isinstance(title := reference.get("title"), str):
        yield path, title, reference
