"""Requests a page from the web server of every worker."""

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp

from streamapp.supervisor.slot import Slot

_REFUSALS = (401, 403, 421)
"""Another process has the port of a worker that has ended, or the worker another token."""


class WorkersPort:
    """The web servers of the workers.

    Args:
        slots: the workers to ask.
        token: what they ask for; `None` if they ask for none.
    """

    def __init__(self, slots: Sequence[Slot], token: str | None = None) -> None:
        self._slots = slots
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # No connection is kept: a worker may be another process at the next request.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0)
        )

    async def close(self) -> None:
        """Cancel open requests and close the connections."""
        await self._session.close()

    async def request(
        self, path: str, *, seconds: float, accept: str = "*/*"
    ) -> Mapping[int, bytes]:
        """The body of each answer by worker number, whatever its status, but for refusals.

        A worker that does not answer within `seconds` is left out.
        """
        up = [(slot.number, slot.web_port) for slot in self._slots if slot.web_port is not None]
        bodies = await asyncio.gather(
            *(self._get(f"http://127.0.0.1:{port}{path}", seconds, accept) for _, port in up)
        )
        return {
            number: body for (number, _), body in zip(up, bodies, strict=True) if body is not None
        }

    async def _get(self, url: str, seconds: float, accept: str) -> bytes | None:
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.get(url, headers={**self._headers, "Accept": accept}) as response,
            ):
                body = await response.read()
                return None if response.status in _REFUSALS else body
        except (aiohttp.ClientError, OSError):  # a timeout is an OSError as well
            return None
