"""`python -m tests.pictures` makes the pictures of the page for the documents anew."""

import asyncio
import sys

from tests.browser import chromium, tab
from tests.cli import ROOT
from tests.served_demo import served_demo

FOLDER = ROOT / "docs" / "images"
_BEFORE_SECONDS = 20.0
_DOWN_SECONDS = 12.0


async def main() -> None:
    """Take the catalogue down, and show the page on a desk and on a phone."""
    async with chromium() as browser, served_demo(records=200) as demo:
        await asyncio.sleep(_BEFORE_SECONDS)
        demo.catalog.is_down = True
        await asyncio.sleep(_DOWN_SECONDS)
        for name, width, height, scheme in (
            ("status-page", 1280, 1000, "light"),
            ("status-page-phone", 390, 844, "dark"),
        ):
            async with tab(browser, width=width, scheme=scheme) as opened:
                await opened.page.set_viewport_size({"width": width, "height": height})
                await opened.page.goto(demo.server.url)
                path = FOLDER / f"{name}.png"
                await opened.page.screenshot(path=path)
                sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    asyncio.run(main())
