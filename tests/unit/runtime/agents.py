"""Agents that many tests of the runtime use."""

import asyncio

from streamapp.pipeline.agent import Agent, agent


@agent
def same(value: bytes) -> bytes:
    """Pass a value on."""
    return value


@agent
async def suspend(value: bytes) -> bytes:
    """Pass a value on after one turn of the event loop."""
    await asyncio.sleep(0)
    return value


def gated(gate: asyncio.Event) -> Agent[bytes, bytes]:
    """An agent that passes values on once the gate is open."""

    @agent
    async def gated(value: bytes) -> bytes:
        await gate.wait()
        return value

    return gated
