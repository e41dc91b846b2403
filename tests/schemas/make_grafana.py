"""Makes grafana.json: the schema of a dashboard, and of the options of the panels that are used.

Taken from the types of the npm package @grafana/schema, under the Apache licence 2.0. Type-checking
with TypeScript needs node and npm and takes twenty seconds; a schema says the same, and needs
neither.

Run it by hand in a folder where these are installed, and give that folder:

    npm install @grafana/schema@13.2.3 typescript@5.9 ts-json-schema-generator@2
    python tests/schemas/make_grafana.py FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TYPES = "node_modules/@grafana/schema/dist/types/raw"
KINDS = {
    "dashboard": ("dashboard/x/types.gen", "Dashboard"),
    **{
        f"{kind}.{part}": (f"composable/{kind}/panelcfg/x/types.gen", part)
        for kind in ("stat", "timeseries", "table", "heatmap", "statetimeline")
        for part in ("Options", "FieldConfig")
        if (kind, part) != ("stat", "FieldConfig")
    },
}
"""File and name of each type."""

WORDS = ("description", "default", "deprecated", "$schema", "$comment")

OPEN = ("AnnotationQuery", "AnnotationTarget")
"""Types to which a data source adds words of its own: `expr`, `textFormat`."""


def schema(folder: Path, path: str, name: str) -> dict[str, Any]:
    """The JSON schema of one type."""
    (folder / "type.ts").write_text(
        f'import * as raw from "./{TYPES}/{path}";\nexport type Wanted = Partial<raw.{name}>;\n'
    )
    options = {"moduleResolution": "bundler", "module": "esnext", "lib": ["es2022", "dom"]}
    config = {"compilerOptions": {**options, "skipLibCheck": True}, "files": ["type.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    command = "npx ts-json-schema-generator --path type.ts --tsconfig tsconfig.json"
    command += " --type Wanted --no-type-check"
    done = subprocess.run(  # noqa: S603 - a generator that the user has installed
        command.split(), cwd=folder, check=True, capture_output=True, text=True
    )
    made: dict[str, Any] = without_words(json.loads(done.stdout))
    for opened in OPEN:
        made["definitions"].get(opened, {}).pop("additionalProperties", None)
    return made


def without_words(schema: Any) -> Any:
    """The same without texts for people."""
    if isinstance(schema, list):
        return [without_words(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        word: without_words(value)
        for word, value in schema.items()
        if word not in WORDS or isinstance(value, dict)  # else it is the name of a property
    }


if __name__ == "__main__":
    made = {kind: schema(Path(sys.argv[1]), *where) for kind, where in KINDS.items()}
    (HERE / "grafana.json").write_text(json.dumps(made, separators=(",", ":")) + "\n")
