"""Who has to name a fault: the page, `/status`, `streamapp lag --why`, and the alerts."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, Error, Page

from tests.browser import WIDTHS, tab
from tests.cli import streamapp
from tests.drill.stand import Stand
from tests.prometheus import Prometheus

LOOK_SECONDS = 0.5
PREFIX = "Streamapp"


async def seconds_until(look: Callable[[], Awaitable[bool]], most_seconds: float) -> float | None:
    """How long it takes until this is seen; `None` if it is not seen in time."""
    began = time.monotonic()
    while time.monotonic() - began < most_seconds:
        if await look():
            return time.monotonic() - began
        await asyncio.sleep(LOOK_SECONDS)
    return None


@dataclass
class Alerts:
    """The alerts of a Prometheus since the fault, by name without its beginning.

    Attributes:
        prometheus: where they are.
        began: monotonic seconds when the fault began.
        is_repaired: whether the fault is; from then on only those count that fire.
        pending: seconds after which each was first pending.
        fired: those that have fired.
    """

    prometheus: Prometheus
    began: float = 0.0
    is_repaired: bool = False
    pending: dict[str, float] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)

    def forget(self) -> None:
        """Begin anew."""
        self.began, self.is_repaired = time.monotonic(), False
        self.pending, self.fired = {}, set()

    async def watch(self) -> None:
        """Note what is told until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> set[str]:
        """The names that are told now."""
        told = {k.removeprefix(PREFIX): v for k, v in (await self.prometheus.alerts()).items()}
        self.fired |= {name for name, state in told.items() if state == "firing"}
        for name, state in told.items():
            if state == "firing" or not self.is_repaired:
                self.pending.setdefault(name, time.monotonic() - self.began)
        return set(told)

    async def end_of_fault(self) -> None:
        """Forget what was pending for a while only, and would not have fired however long it took.

        An alert waits for its time because some of what it looks for passes by itself.
        """
        lasting = self.fired | await self.look()
        self.pending = {name: at for name, at in self.pending.items() if name in lasting}
        self.is_repaired = True


@dataclass
class Witnesses:
    """All of them, of one stand.

    Attributes:
        stand: the pipeline.
        browser: opens the page.
        alerts: those of Prometheus.
        pictures: folder for pictures of the page; `None` for none.
    """

    stand: Stand
    browser: Browser
    alerts: Alerts
    pictures: Path | None = None

    async def status_names(self, cause: str) -> bool:
        """Whether `/status` does."""
        return cause in await asyncio.to_thread(self.stand.causes)

    async def why_names(self, cause: str) -> bool:
        """Whether `streamapp lag --why` does."""
        return f": {cause}" in await asyncio.to_thread(self._why)

    async def page_names(self, page: Page, cause: str) -> bool:
        """Whether the part of the page that asks for attention does."""
        try:
            await page.goto(self.stand.url)
            told = await page.locator(".troubles .trouble h3").all_inner_texts()
        except Error:  # nobody answers just now
            return False
        return any(cause.replace("_", " ") in one.lower() for one in told)

    async def is_quiet(self) -> bool:
        """Whether nothing is wrong by `/status` and by the alerts."""
        for _ in range(3):  # the rules are evaluated once a second
            status = await asyncio.to_thread(self.stand.status)
            if not status or self.stand.causes_in(status) or await self.alerts.look():
                return False
            await asyncio.sleep(1)
        return True

    async def take_pictures(self, name: str, cause: str) -> list[str]:
        """The page at each width, light and dark; tells where it does not name the cause."""
        amiss: list[str] = []
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                async with tab(self.browser, width=width, scheme=scheme) as opened:
                    where = f"{width}-{scheme}"
                    if not await self.page_names(opened.page, cause):
                        amiss.append(f"not named at {where}")
                    if await opened.page.evaluate(
                        "document.documentElement.scrollWidth > innerWidth"
                    ):
                        amiss.append(f"too wide at {where}")
                    if self.pictures is not None:
                        path = self.pictures / f"{name.replace(' ', '-')}-{where}.png"
                        await opened.page.screenshot(path=path, full_page=True)
        return amiss

    def _why(self) -> str:
        stand = self.stand
        ask = ("lag", "--why", "--output", "table", "--web-url", stand.url)
        return streamapp(*ask, cwd=stand.folder, env=stand.env).stdout
