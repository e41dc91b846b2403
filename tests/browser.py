"""A real Chromium for tests, driven by Playwright; nothing is downloaded."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

WIDTHS = (1280, 390)
"""Of a desk and of a phone, in pixels."""

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_MISSING = "needs Chromium: apt-get install --no-install-recommends chromium"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run Chromium while the block runs; without it, skip on a laptop and fail in CI."""
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    if binary is None:
        if os.environ.get("CI") == "true":
            pytest.fail(_MISSING, pytrace=False)
        pytest.skip(_MISSING)
    # A container has no sandbox of its own to give; the pages are ours.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary, args=arguments)
        yield browser
        await browser.close()


@dataclass
class Tab:
    """A page in the browser, and what it complains of.

    Attributes:
        page: the page.
        complaints: errors and warnings of its console, and exceptions of its scripts.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)

    def hear(self) -> None:
        """Listen to what it complains of from now on."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@asynccontextmanager
async def tab(
    browser: Browser, *, width: int = 1280, scheme: str = "light", scripts: bool = True
) -> AsyncIterator[Tab]:
    """Open a tab of this width that prefers this colour scheme, `light` or `dark`."""
    context = await browser.new_context(
        viewport={"width": width, "height": 844},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=scripts,
    )
    opened = Tab(await context.new_page())
    opened.hear()
    yield opened
    await context.close()
