"""A provider on a port of 127.0.0.1 that speaks the protocol of chat completions."""

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tests.unit.agents.services import Answer, Service


def completion(output: str) -> dict[str, Any]:
    """A completion whose model gives an output as JSON, broken or not."""
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "final_result", "arguments": output},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def giving(*outputs: Any) -> Answer:
    """The model gives these outputs, one a request; texts as they are."""
    left = list(outputs)

    async def answer(_service: Service, _request: web.Request) -> web.Response:
        output = left.pop(0) if len(left) > 1 else left[0]
        text = output if isinstance(output, str) else json.dumps(output)
        return web.json_response(completion(text))

    return answer


def asked(service: Service, number: int = 0) -> Any:
    """What the model was given in a request, as JSON."""
    messages: Sequence[dict[str, Any]] = service.bodies[number]["messages"]
    return json.loads(next(one["content"] for one in messages if one["role"] == "user"))
