"""Writes the JSON schemas of the models, for the declared topics.

`python -m streamapp.examples.playback.schemas topics/schemas` writes them; a test compares them
with the models.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from streamapp.examples.playback.models import (
    EnrichedPlayback,
    Playback,
    RawPlayback,
    ScoredPlayback,
)

_MODELS: Mapping[str, type[BaseModel]] = {
    "raw_playback.json": RawPlayback,
    "playback.json": Playback,
    "enriched_playback.json": EnrichedPlayback,
    "scored_playback.json": ScoredPlayback,
}


def schema_files() -> dict[str, str]:
    """Text of each schema file, by its name."""
    return {
        name: json.dumps(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                **model.model_json_schema(),
            },
            indent=2,
        )
        + "\n"
        for name, model in _MODELS.items()
    }


def write_schemas(folder: Path) -> None:
    """Write the files; existing ones are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_files().items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write the schemas to the folder that is the only argument."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m streamapp.examples.playback.schemas FOLDER\n")
        return 2
    write_schemas(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
