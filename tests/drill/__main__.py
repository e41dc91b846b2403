"""`python -m tests.drill`: injects the faults of a running pipeline, and sees that each is named.

A real Prometheus with the shipped rules scrapes the supervisor, and a real Chromium opens its page.
Each fault has a minute to be named by `/status`, the page, `streamapp lag --why` and an alert, with
no alert that is not declared; and four minutes after its repair until nothing is wrong.

`--only NAME` plays one of them, `--write` puts what was seen into docs/operating.md, and
`--pictures FOLDER` keeps the page of each fault.
"""

import argparse
import asyncio
import logging
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from streamapp.beside import beside
from streamapp.observability.alerts.rule_file import rule_file
from tests.browser import chromium, tab
from tests.drill.faults import FAULTS
from tests.drill.stand import Stand
from tests.drill.table import HEAD, NAMED_SECONDS, RULE, Row, write
from tests.drill.witnesses import Alerts, Witnesses, seconds_until
from tests.kafka import running_kafka
from tests.prometheus import Prometheus, require_tool

CLEARED_SECONDS = 240.0


def rules() -> str:
    """The shipped rules; what has happened and is over is told for 1 minute instead of 10."""
    text = rule_file(["drill"])
    return re.sub(r"10m\b", "1m", text).replace("keep_firing_for: 600s", "keep_firing_for: 60s")


async def play(witnesses: Witnesses, name: str) -> Row:
    """Inject a fault, wait until all have named it, repair it, and wait until nothing is wrong."""
    fault, stand, alerts = FAULTS[name], witnesses.stand, witnesses.alerts
    amiss: list[str] = []
    status = page = why = None
    alerts.forget()
    async with beside(alerts.watch()):
        async with fault.inject(stand):
            began = alerts.began = time.monotonic()
            if fault.cause:
                status, page, why, _ = await _named(witnesses, name)
                amiss = await witnesses.take_pictures(name, fault.cause)
            await asyncio.sleep(max(0.0, fault.least_seconds - (time.monotonic() - began)))
            await alerts.end_of_fault()
        cleared = await seconds_until(witnesses.is_quiet, CLEARED_SECONDS)
    return Row(name, status, page, why, dict(alerts.pending), cleared, tuple(amiss))


async def _named(witnesses: Witnesses, name: str) -> tuple[float | None, ...]:
    """Seconds until each has named it."""
    fault, alerts = FAULTS[name], witnesses.alerts

    async def is_alerted() -> bool:
        return fault.alert in alerts.pending

    async with tab(witnesses.browser) as opened:
        looks = (
            lambda: witnesses.status_names(fault.cause),
            lambda: witnesses.page_names(opened.page, fault.cause),
            lambda: witnesses.why_names(fault.cause),
            is_alerted,
        )
        return tuple(await asyncio.gather(*(seconds_until(one, NAMED_SECONDS) for one in looks)))


async def drill(names: list[str], pictures: Path | None, *, writes: bool) -> list[Row]:
    """Play these faults one after the other on one broker; prints, or also writes, a line each."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        async with standing(Path(folder), pictures) as witnesses:
            _say(f"{HEAD}\n{RULE}")
            for name in names:
                rows.append(await play(witnesses, name))
                _say(rows[-1].line())
                if writes:
                    write(rows[-1:])
                for complaint in rows[-1].complaints:
                    _say(f"  {complaint}")
    return rows


@asynccontextmanager
async def standing(folder: Path, pictures: Path | None) -> AsyncIterator[Witnesses]:
    """A pipeline that runs well, with all that looks at it."""
    with running_kafka(folder / "kafka") as kafka:
        stand = Stand(kafka, folder)
        stand.prepare()
        await stand.take_any_time()
        try:
            stand.start()
            async with aiohttp.ClientSession() as session, chromium() as browser, stand.fed():
                prometheus = Prometheus(require_tool("prometheus"), folder, session)
                try:
                    await prometheus.scrape(stand.port, rules=rules())
                    stand.scrape = prometheus.target
                    await prometheus.eventually("pipeline_stage:streamapp_lag_records:sum", bool)
                    witnesses = Witnesses(stand, browser, Alerts(prometheus), pictures)
                    quiet = await seconds_until(witnesses.is_quiet, CLEARED_SECONDS)
                    assert quiet is not None, (stand.causes(), witnesses.alerts.pending)
                    yield witnesses
                finally:
                    prometheus.stop()
        finally:
            while stand.runs:
                with suppress(Exception):
                    stand.stop()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the drill; 1 if anything was not as it has to be."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill")
    parser.add_argument("--only", action="append", choices=FAULTS)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # of the feed, while the broker is down
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    rows = asyncio.run(drill(given.only or list(FAULTS), given.pictures, writes=given.write))
    return 1 if any(row.complaints for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
