"""The page in a real Chromium, over a pipeline that runs: as a person sees it, and uses it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.browser import WIDTHS, chromium, tab
from tests.patience import eventually
from tests.served_demo import Demo, served_demo

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMES = ("light", "dark")
PATIENCE_SECONDS = 30.0
RENEW = "renew()"
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(browser: Browser) -> AsyncIterator[Demo]:
    """A worker whose stage `enrich` holds its records, because what it asks is down."""
    del browser  # without one there is nothing to serve
    async with served_demo() as found:
        enrich = found.service.metrics[1]
        await eventually(lambda: enrich.commits > 0, seconds=PATIENCE_SECONDS)
        found.catalog.is_down = True
        await eventually(lambda: enrich.held_since is not None, seconds=PATIENCE_SECONDS)
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crew(browser: Browser) -> AsyncIterator[Demo]:
    """Two workers that do well."""
    del browser
    async with served_demo(workers=2) as found:
        await eventually(lambda: found.service.metrics[1].commits > 0, seconds=PATIENCE_SECONDS)
        yield found


async def _faults(page: Page, place: str = "html") -> list[str]:
    """What a check of accessibility finds, in a line each."""
    found = (await Axe().run(page, context=place)).response["violations"]
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


async def _is_cut_off(page: Page) -> bool:
    return bool(await page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize(
    ("which", "scheme", "width"),
    [
        *(("demo", scheme, width) for scheme in SCHEMES for width in WIDTHS),
        ("crew", "light", 1280),
        ("crew", "dark", 390),
    ],
)
async def test_it_fits_can_be_read_by_everybody_and_complains_of_nothing(
    browser: Browser, demo: Demo, crew: Demo, which: str, scheme: str, width: int
) -> None:
    shown = demo if which == "demo" else crew
    async with tab(browser, width=width, scheme=scheme) as opened:
        page = opened.page
        await page.goto(shown.server.url)
        await page.evaluate(OPEN_ALL)
        assert await _faults(page) == []
        assert not await _is_cut_off(page)
        await page.evaluate(RENEW)
        await expect(page.locator("#stale")).to_be_hidden()
        assert opened.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
async def test_what_is_wrong_is_seen_without_scrolling(
    demo: Demo, browser: Browser, width: int
) -> None:
    async with tab(browser, width=width) as opened:
        page = opened.page
        await page.goto(demo.server.url)
        trouble = page.locator(".trouble").first
        await expect(trouble).to_be_in_viewport(ratio=0.9)
        await expect(trouble).to_contain_text("dependency down")
        await expect(trouble.locator("code")).to_have_text(
            "streamapp status playback-quality --watch"
        )
        await expect(page.locator("#headline")).to_have_text("Of 4 stages 1 fails")
        assert (await page.title()).startswith("(!) ")
        await expect(page.locator(".node.failing")).to_contain_text("holds its records")


async def test_on_a_phone_each_stage_is_a_card_with_named_figures(
    demo: Demo, browser: Browser
) -> None:
    async with tab(browser, width=390) as opened:
        await opened.page.goto(demo.server.url)
        row = opened.page.locator("tr#playback_quality-enrich")
        name = "getComputedStyle(one, '::before').content"
        cell = row.locator("td").nth(1)
        assert await cell.evaluate(f"(one) => {name}") == '"lag"'
        box = await row.bounding_box()
        assert box is not None
        assert box["width"] < 390


async def test_a_renewal_keeps_what_is_open_where_one_is_and_what_has_the_focus(
    demo: Demo, browser: Browser
) -> None:
    async with tab(browser) as opened:
        page = opened.page
        await page.goto(demo.server.url)
        summary = page.locator("#pipeline-playback_quality-partitions summary")
        await summary.click()
        await summary.focus()
        await page.evaluate("scrollTo(0, 200)")
        taken = page.locator("tr#playback_quality-validate td[data-label='taken in']")
        before = await taken.text_content()
        validate = demo.service.metrics[0]
        await eventually(lambda: validate.records_in > _number(before), seconds=PATIENCE_SECONDS)
        await page.evaluate("scrolled_to = scrollY")
        await page.evaluate(RENEW)
        assert _number(await taken.text_content()) > _number(before)
        assert await page.evaluate("scrollY === scrolled_to && scrollY > 0")
        opens = page.locator("#pipeline-playback_quality-partitions")
        await expect(opens).to_have_attribute("open", "")
        assert await page.evaluate("document.activeElement.closest('details') !== null")


def _number(text: str | None) -> int:
    return int((text or "").strip().replace(",", ""))


async def test_it_can_be_used_by_keyboard_alone(demo: Demo, browser: Browser) -> None:
    async with tab(browser) as opened:
        page = opened.page
        await page.goto(demo.server.url)
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        seen = set()
        for _ in range(60):
            await page.keyboard.press("Tab")
            active = "document.activeElement"
            seen.add(await page.evaluate(f"{active}.className || {active}.tagName"))
            if await page.evaluate(f"{active}.tagName === 'SUMMARY'"):
                await page.keyboard.press("Enter")
                opens = await page.evaluate(f"{active}.closest('details').open")
                assert opens
                break
        assert {"copy", "A", "SUMMARY"} <= seen


async def test_it_says_since_when_it_is_old_and_stops_when_the_server_is_back(
    demo: Demo, browser: Browser
) -> None:
    async with tab(browser) as opened:
        page = opened.page
        await page.goto(demo.server.url)
        await demo.server.stop()
        try:
            await page.evaluate(RENEW)
            stale = page.locator("#stale")
            await expect(stale).to_be_visible()
            await expect(stale).to_contain_text("UTC, since the server does not answer")
            assert await page.evaluate("document.body.classList.contains('is-stale')")
            assert await _faults(page, "#stale") == []
        finally:
            await demo.serve_anew()
        await page.evaluate(RENEW)
        await expect(stale).to_be_hidden()


async def test_selected_text_is_left_alone_for_a_while_and_then_told_to_be_old(
    demo: Demo, browser: Browser
) -> None:
    async with tab(browser) as opened:
        page = opened.page
        await page.goto(demo.server.url)
        moment, stale = page.locator("#moment"), page.locator("#stale")
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('h2'))")
        seen = await moment.text_content()
        await page.evaluate(RENEW)
        assert await moment.text_content() == seen
        await expect(stale).to_be_hidden()
        await page.evaluate("renewedAt = new Date(renewedAt.getTime() - 31000)")
        await page.evaluate(RENEW)
        await expect(stale).to_contain_text("since text in it is selected")
        await page.evaluate("getSelection().empty()")
        await page.evaluate(RENEW)
        await expect(stale).to_be_hidden()


async def test_the_next_command_is_copied(demo: Demo, browser: Browser) -> None:
    async with tab(browser) as opened:
        page = opened.page
        await page.goto(demo.server.url)
        button = page.locator("button.copy").first
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await button.click()
        await expect(button).to_have_text("Copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == "streamapp status playback-quality --watch"


async def test_without_scripts_it_shows_the_same_and_reloads_itself(
    demo: Demo, browser: Browser
) -> None:
    async with tab(browser, scripts=False) as opened:
        page = opened.page
        await page.goto(demo.server.url)
        await expect(page.locator(".trouble").first).to_contain_text("dependency down")
        await expect(page.locator("#renewal")).to_have_text("reloads every 5 s")
        await expect(page.locator("button.copy").first).to_be_hidden()
        async with page.expect_event("load"):
            pass  # it comes by itself
        assert opened.complaints == []


async def test_several_workers_stand_below_the_stages_that_they_share(
    crew: Demo, browser: Browser
) -> None:
    async with tab(browser) as opened:
        page = opened.page
        await page.goto(crew.server.url)
        await expect(page.locator("#headline")).to_have_text("All 4 stages are well in 2 workers")
        rows = page.locator("tr.share th")
        await expect(rows).to_have_count(8)
        await expect(rows.first).to_contain_text("worker 0")
