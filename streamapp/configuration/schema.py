"""The JSON schema of the configuration file, for editors."""

from typing import Any

from streamapp.configuration.configuration import Configuration


def configuration_schema() -> dict[str, Any]:
    """The schema, of draft 2020-12.

    It says less than the check: near names, secrets, imports and references are not in it.
    """
    schema = Configuration.model_json_schema(mode="validation")
    definition = schema["$defs"]["AgentDefinition"]
    definition["required"].remove("agent_id")  # in a file it is the key
    # pydantic would let ids of another form be anything.
    schema["properties"]["data_agents"] = {
        "type": "object",
        "propertyNames": definition["properties"]["agent_id"],
        "additionalProperties": {"$ref": "#/$defs/AgentDefinition"},
    }
    storage = schema["$defs"]["ResourceRequirements"]["properties"]["storage"]
    del storage["type"]
    storage["anyOf"] = [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)? ?(KB|MB|GB|TB)$"},
    ]
    retention = schema["$defs"]["DeclaredTopic"]["properties"]["retention"]
    retention.update(type="string", pattern=r"^([1-9]\d*[smhd]|forever)$", default="7d")
    schema["properties"]["$schema"] = {"type": "string"}
    schema["patternProperties"] = {"^x-": {}}
    schema["title"] = "atomic_data_config.json"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
