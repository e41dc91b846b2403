"""Real HTTP endpoints of a test's own, which answer, hang, or refuse connections."""

import asyncio
from collections import Counter
from enum import StrEnum

import aiohttp
from aiohttp import web

from streamapp.errors import Transient

_SHUTDOWN_SECONDS = 0.1


class Mood(StrEnum):
    """What an endpoint does with a request."""

    ANSWERS = "answers"
    HANGS = "hangs"
    FAILS = "fails"  # answers that it cannot


class Endpoint:
    """An HTTP server on a free port of 127.0.0.1, which keeps its port when it dies.

    Args:
        seconds: how long an answer takes.

    Attributes:
        mood: what it does with requests.
        seen: requests by what it did with them.
        url: its address.
    """

    def __init__(self, *, seconds: float = 0.001) -> None:
        self.mood = Mood.ANSWERS
        self.seen: Counter[Mood] = Counter()
        self.url = ""
        self._seconds = seconds
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._dead = asyncio.Event()

    async def live(self) -> None:
        """Listen, on the port that it had before."""
        self.mood = Mood.ANSWERS
        self._dead.clear()
        app = web.Application()
        app.add_routes([web.get("/", self._answer)])
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}/"

    async def die(self) -> None:
        """Close the port and all connections; it refuses new ones."""
        self._dead.set()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen[self.mood] += 1
        if self.mood is Mood.FAILS:
            return web.Response(status=503)
        if self.mood is Mood.HANGS:
            await self._dead.wait()
        await asyncio.sleep(self._seconds)
        return web.Response(text=request.query["id"])


class Caller:
    """A client of an endpoint: opened once, and counts what becomes of its calls.

    Attributes:
        outcomes: calls by how they ended.
    """

    def __init__(self, url: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Open the client."""
        self.outcomes["opened"] += 1
        self._session = aiohttp.ClientSession()

    async def close(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, number: int) -> int:
        """Ask for a number, which the endpoint gives back.

        Raises:
            aiohttp.ClientError: it did not answer.
            Transient: it answered that it cannot.
        """
        assert self._session is not None, "the client is not open"
        try:
            async with self._session.get(self._url, params={"id": number}) as answer:
                answer.raise_for_status()
                found = int(await answer.text())
        except asyncio.CancelledError:
            self.outcomes["timed out"] += 1
            raise
        except aiohttp.ClientResponseError as error:
            self.outcomes["failed"] += 1
            raise Transient(f"the endpoint answers {error.status}") from error
        except aiohttp.ClientConnectorError:
            self.outcomes["refused"] += 1
            raise
        except aiohttp.ClientError:
            self.outcomes["broken off"] += 1
            raise
        self.outcomes["answered"] += 1
        return found
