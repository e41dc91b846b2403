"""Permissions of a topic: takes away the right to write to it, and gives it back.

The broker has an authorizer that allows whatever no rule is about. So a topic with rules that
allow to read and to describe it cannot be written to by anybody.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from tests.torture.watch import admin

PROPERTIES = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
"""What a broker needs for it."""

# Numbers of Kafka's protocol: resource type, pattern type, operations and permission.
_TOPIC, _LITERAL, _ALLOW, _ANY = 2, 3, 3, 1
_READ, _DESCRIBE, _DESCRIBE_CONFIGS = 3, 8, 10
_KEPT = (_READ, _DESCRIBE, _DESCRIBE_CONFIGS)
_EVERYBODY, _ANYWHERE = "User:*", "*"


@asynccontextmanager
async def unwritable(bootstrap_servers: str, topic: str) -> AsyncIterator[None]:
    """Let nobody write to a topic while the block runs."""
    async with admin(bootstrap_servers) as client:
        for operation in _KEPT:
            await _send(
                client,
                CreateAclsRequest(
                    _TOPIC, topic, _LITERAL, _EVERYBODY, _ANYWHERE, operation, _ALLOW
                ),
            )
    try:
        yield
    finally:
        async with admin(bootstrap_servers) as client:
            await _send(
                client,
                DeleteAclsRequest(_TOPIC, topic, _LITERAL, _EVERYBODY, _ANYWHERE, _ANY, _ANY),
            )


async def _send(client: Any, request: object) -> None:
    answer = await client._send_request(request)
    told = answer.to_object()
    for one in told.get("creation_responses") or told["filter_responses"]:
        if one["error_code"]:
            raise for_code(one["error_code"])(one["error_message"])
