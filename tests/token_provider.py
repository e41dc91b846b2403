"""An OpenID provider of a test's own, which gives tokens for client credentials."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web


class Provider:
    """An endpoint that gives a new token for each request, and keeps the requests.

    Args:
        answer: what it answers instead.
        make: makes the token of a request by its number, from 1.

    Attributes:
        requests: the header `Authorization` and the form of each request.
    """

    def __init__(
        self,
        answer: web.Response | None = None,
        *,
        make: Callable[[int], str] = "token-{}".format,
    ) -> None:
        self._answer = answer
        self._make = make
        self.requests: list[tuple[str, dict[str, object]]] = []

    async def give(self, request: web.Request) -> web.Response:
        self.requests.append((request.headers["Authorization"], dict(await request.post())))
        if self._answer is not None:
            return self._answer
        token = self._make(len(self.requests))
        return web.json_response({"access_token": token, "expires_in": 100})


@asynccontextmanager
async def listening(provider: Provider) -> AsyncIterator[str]:
    """Its address, while the block runs."""
    app = web.Application()
    app.add_routes([web.post("/token", provider.give)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    finally:
        await runner.cleanup()
