"""Makes kubernetes.json: the schemas of the kinds that the Helm chart renders.

Taken from three packages, all under the Apache licence 2.0:

- kubernetes-validate 1.37.0: the schemas of Kubernetes 1.37, with unknown fields refused;
- cloudcoil-models-keda 2.16.1.0: the custom resources of KEDA 2.16.1 as pydantic models;
- cloudcoil-models-prometheus-operator 0.80.1.0: those of the Prometheus operator 0.80.1.

Run it by hand where they are installed: `python tests/schemas/make.py`. What is kept has no
descriptions, and only what these kinds refer to.
"""

import importlib
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KUBERNETES = "kubernetes-json-schema/v1.37.0-local-strict"
KINDS = (
    "deployment-apps",
    "statefulset-apps",
    "poddisruptionbudget-policy",
    "service",
    "serviceaccount",
    "job-batch",
)
CUSTOM = {
    "keda": ("cloudcoil.models.keda.v1alpha1", ("ScaledObject", "TriggerAuthentication")),
    "prometheus": ("cloudcoil.models.prometheus_operator.v1", ("PodMonitor",)),
}
"""Module and kinds of custom resources."""

WORDS = ("description", "title", "default", "$schema", "$id", "x-kubernetes-group-version-kind")


def kubernetes(definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of each kind of Kubernetes; what they refer to is added to the definitions."""
    package = importlib.import_module("kubernetes_validate")
    folder = Path(str(package.__file__)).parent / KUBERNETES
    everything = json.loads((folder / "_definitions.json").read_text())["$defs"]

    def follow(schema: Any) -> Any:
        if isinstance(schema, list):
            return [follow(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if reference := schema.get("$ref"):
            name = reference.rpartition("/")[2]
            if name not in definitions:
                definitions[name] = {}
                definitions[name] = follow(everything[name])
            return {"$ref": f"#/$defs/{name}"}
        return {word: follow(value) for word, value in without_words(schema).items()}

    files = (folder / f"{name}-v1.json" for name in KINDS)
    schemas = [follow(json.loads(file.read_text())) for file in files]
    return {schema["properties"]["kind"]["enum"][0]: schema for schema in schemas}


def custom(owner: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of each kind of a custom resource, with unknown fields refused as well."""
    module, kinds = CUSTOM[owner]
    models = importlib.import_module(module)

    def close(schema: Any) -> Any:
        if isinstance(schema, list):
            return [close(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if reference := schema.get("$ref"):
            return {"$ref": reference.replace("#/$defs/", f"#/$defs/{owner}.")}
        closed = {word: close(value) for word, value in without_words(schema).items()}
        if "properties" in closed:
            closed["properties"] = {n: close(v) for n, v in schema["properties"].items()}
            closed["additionalProperties"] = False
        return closed

    found = {}
    for kind in kinds:
        schema = getattr(models, kind).model_json_schema(by_alias=True)
        definitions |= {f"{owner}.{n}": close(one) for n, one in schema.pop("$defs").items()}
        found[kind] = close(schema)
    return found


def without_words(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without what is for people; a property may have such a name."""
    return {
        word: value
        for word, value in schema.items()
        if word not in WORDS or isinstance(value, dict)
    }


def main() -> None:
    """Write the file."""
    definitions: dict[str, Any] = {}
    kinds = kubernetes(definitions)
    for owner in CUSTOM:
        kinds |= custom(owner, definitions)
    text = json.dumps({"$defs": definitions, "kinds": kinds}, separators=(",", ":"), sort_keys=True)
    (HERE / "kubernetes.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
