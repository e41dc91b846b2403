"""A service on a port of 127.0.0.1 that answers as a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from streamapp.pipeline.agent import Agent

Answer = Callable[["Service", web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Service:
    """A service.

    Attributes:
        answer: makes its answers.
        url: its address, without a path.
        paths: path and query of each request, as they were sent.
        bodies: JSON of each request that has some.
        headers: headers of the last request.
    """

    answer: Answer
    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.raw_path)
        self.headers = request.headers
        if request.can_read_body:
            self.bodies.append(await request.json())
        return await self.answer(self, request)


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Service]:
    """A service while the block runs."""
    service = Service(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(agent: Agent[Any, Any]) -> AsyncIterator[Agent[Any, Any]]:
    """An agent, open while the block runs."""
    lifecycle = agent.lifecycle
    assert lifecycle is not None
    await lifecycle.open()
    try:
        yield agent
    finally:
        await lifecycle.close()


def answering(
    status: int = 200, body: bytes = b"{}", headers: Mapping[str, str] | None = None
) -> Answer:
    """The same answer to all."""

    async def answer(_service: Service, _request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def hanging(_service: Service, _request: web.Request) -> web.Response:
    """No answer at all."""
    await asyncio.Event().wait()
    raise AssertionError("it hangs")


async def breaking_off(_service: Service, request: web.Request) -> web.StreamResponse:
    """Half an answer."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response
