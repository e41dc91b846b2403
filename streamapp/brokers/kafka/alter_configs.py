"""IncrementalAlterConfigs (KIP-339), which aiokafka lacks: sets the named values and no others."""

from collections.abc import Mapping
from typing import Any

from aiokafka.protocol.admin import AlterConfigsResponse_v0
from aiokafka.protocol.api import Request, RequestStruct
from aiokafka.protocol.types import Array, Boolean, Int8, Schema, String

# Numbers of Kafka's protocol: the request, the resource type of topics, the operation "set".
_API_KEY = 44
_TOPIC = 2
_SET = 0


class IncrementalAlterConfigsResponse(AlterConfigsResponse_v0):  # type: ignore[misc]  # untyped base
    """The response; its layout is that of AlterConfigs."""

    API_KEY = _API_KEY
    API_VERSION = 0


class IncrementalAlterConfigsStruct(RequestStruct):  # type: ignore[misc]  # untyped base
    """Version 0 of the request, as it is encoded."""

    API_KEY = _API_KEY
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponse
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("config_operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class IncrementalAlterConfigsRequest(Request[IncrementalAlterConfigsStruct]):  # type: ignore[misc]  # untyped base
    """Sets configuration values of one topic."""

    API_KEY = _API_KEY

    def __init__(self, topic: str, config: Mapping[str, str]) -> None:
        entries = [(name, _SET, value) for name, value in config.items()]
        self._resources = [(_TOPIC, topic, entries)]

    def build(self, request_struct_class: Any) -> Any:
        """The request in the version that the broker speaks."""
        return request_struct_class(self._resources, False)  # noqa: FBT003 - not only validate
