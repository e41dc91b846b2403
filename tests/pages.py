"""The pages that a worker serves, asked for as an operator or Prometheus does."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from streamapp.cli.serving import serving
from streamapp.clock import SystemClock
from streamapp.service import Service


@dataclass(frozen=True, slots=True)
class Pages:
    """The web server of a worker.

    Attributes:
        url: its address.
        session: the client.
    """

    url: str
    session: aiohttp.ClientSession

    @classmethod
    @asynccontextmanager
    async def of(cls, service: Service) -> AsyncIterator["Pages"]:
        """Serve the pages of a service while the block runs."""
        async with (
            serving(
                service.metrics,
                SystemClock(),
                port=0,
                say=lambda _line: None,
                outlines=service.outlines,
            ) as server,
            aiohttp.ClientSession() as session,
        ):
            yield cls(server.url, session)

    async def verdict(self, path: str) -> tuple[int, str]:
        """The HTTP status of `healthz` or `readyz`, and the reason of the first stage."""
        code, body = await self._get(path)
        return code, str(json.loads(body)["stages"][0]["reason"])

    async def status(self) -> list[dict[str, Any]]:
        """What `/status` says of each stage."""
        found: list[dict[str, Any]] = json.loads((await self._get("status"))[1])["stages"]
        return found

    async def sample(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels.

        Raises:
            LookupError: there is none.
        """
        _, text = await self._get("metrics")
        found = []
        for series, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE):
            own = dict(re.findall(r'(\w+)="([^"]*)"', series))
            if labels.items() <= own.items():
                found.append(float(value))
        if not found:
            raise LookupError(f"/metrics has no {name} with {labels}")
        return sum(found)

    async def _get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.text()
