"""The page in a real Chromium with everything wrong at once, and with the longest of names."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from streamapp.observability.causes import TABLE, Cause
from streamapp.observability.figures_report import OccurrenceReport, PartitionReport
from streamapp.observability.findings_report import FindingReport
from streamapp.observability.pipeline_report import (
    AgentReport,
    PipelineReport,
    PlacedStage,
    SegmentReport,
)
from streamapp.observability.stage_report import StageReport, StatusReport
from streamapp.web.server import Handler, WebServer, html
from tests.browser import WIDTHS, chromium, tab

NOW = 1_700_000_000.0
LONGEST = "a" * 249
"""Of the names of topics that Kafka allows."""


class ReportView:
    """The page of a report."""

    def __init__(self, report: StatusReport) -> None:
        self._report = report

    def handlers(self) -> Mapping[str, Handler]:
        async def index(request: web.Request) -> web.Response:
            return await html(self._report, request)

        return {"/": index}


@asynccontextmanager
async def served(report: StatusReport) -> AsyncIterator[str]:
    server = WebServer(ReportView(report))
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()


def faulty(cause: Cause) -> StageReport:
    """A stage with a fault."""
    entry = TABLE[cause]
    finding = FindingReport(
        cause=cause.value,
        level=entry.level.value,
        evidence="the lag has grown from 1,000 to 6,000 records within 60 s",
        since=NOW - 75,
        advice=entry.advice,
        command=entry.command.format(pipeline="orders", stage=cause.value),
    )
    return StageReport(
        pipeline="orders",
        stage=cause.value,
        state="running",
        ok=False,
        level=entry.level.value,
        findings=(finding,),
        source="orders.raw",
        lag=6000,
        partitions=1,
    )


def long_names() -> StatusReport:
    """A pipeline whose names are as long as they may be, and cannot be broken anywhere."""
    stage = StageReport(
        pipeline=LONGEST,
        stage=LONGEST,
        state="running",
        ok=False,
        level="failing",
        reason=LONGEST,
        source=LONGEST,
        assigned=(PartitionReport(topic=LONGEST, partition=0, lag=1, lag_seconds=None),),
        occurrences=(OccurrenceReport(at=NOW, kind="held", told=LONGEST),),
    )
    placed = PlacedStage(
        stage=LONGEST,
        agent=AgentReport(name=LONGEST, kind="agent"),
        output=LONGEST,
        routes={LONGEST: LONGEST},
    )
    segment = SegmentReport(group=LONGEST, sources=(LONGEST,), stages=(placed,))
    shape = PipelineReport(pipeline=LONGEST, segments=(segment,))
    return StatusReport(at=NOW, stages=(stage,), pipelines=(shape,))


REPORTS = {
    "faults": StatusReport(at=NOW, stages=tuple(map(faulty, Cause))),
    "names": long_names(),
}


@pytest.mark.parametrize("which", REPORTS)
async def test_whatever_is_wrong_fits_and_can_be_read_by_everybody(which: str) -> None:
    async with chromium() as browser, served(REPORTS[which]) as url:
        for width in WIDTHS:
            async with tab(browser, width=width) as opened:
                page = opened.page
                await page.goto(url)
                await page.evaluate(
                    "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
                )
                cut_off = "document.documentElement.scrollWidth > innerWidth"
                assert not await page.evaluate(cut_off), f"wider than {width} pixels"
                found = (await Axe().run(page)).response["violations"]
                assert [one["id"] for one in found] == []
                assert opened.complaints == []


async def test_every_cause_is_told_in_words_with_its_advice() -> None:
    async with chromium() as browser, served(REPORTS["faults"]) as url, tab(browser) as opened:
        await opened.page.goto(url)
        troubles = opened.page.locator(".trouble")
        await expect(troubles).to_have_count(len(Cause))
        told = await troubles.all_text_contents()
        for cause in Cause:
            [own] = [one for one in told if f"orders / {cause.value}" in one]
            assert TABLE[cause].advice in own
            assert cause.value.replace("_", " ") in own
