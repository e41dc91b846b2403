"""A real Prometheus server for tests: one process, one target, one temporary folder."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

Sample = tuple[dict[str, str], float]
"""Labels, without the name and those that Prometheus adds for the target, and the value."""

_TARGET_LABELS = ("__name__", "instance", "job")
_MISSING = "needs Prometheus: apt-get install --no-install-recommends prometheus"


@dataclass
class Prometheus:
    """A running server.

    Attributes:
        folder: configuration, time series and log.
        process: the server, once `scrape` has started it.
        port: where it listens.
    """

    binary: str
    folder: Path
    session: aiohttp.ClientSession
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def target(self, *ports: int) -> None:
        """Scrape 127.0.0.1 at these ports and nothing else from now on."""
        hosts = [f"127.0.0.1:{port}" for port in ports]
        fresh = self.folder / "targets.new"
        fresh.write_text(json.dumps([{"targets": hosts}]))
        fresh.replace(self.folder / "targets.json")

    async def scrape(
        self, target_port: int, *, rules: str = "groups: []\n", timeout_seconds: float = 30.0
    ) -> None:
        """Start it, scraping 127.0.0.1:`target_port` every second, and wait until it is ready.

        Args:
            target_port: what to scrape.
            rules: text of a rule file, whose groups are evaluated every second.
            timeout_seconds: longest wait.
        """
        (self.folder / "rules.yml").write_text(rules.replace("interval: 1m", "interval: 1s"))
        self.target(target_port)
        config = self.folder / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
            "rule_files: [rules.yml]\n"
            "scrape_configs:\n"
            "  - job_name: streamapp\n"
            "    file_sd_configs: [{files: [targets.json]}]\n"
        )
        self.port = _free_port()
        with (self.folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220, S603 - it returns at once; the binary is ours to name
                [
                    self.binary,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self.folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--enable-feature=exemplar-storage",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        await _until(self._ready, "Prometheus to be ready", timeout_seconds)

    async def query(self, promql: str) -> list[Sample]:
        """Samples of an instant query."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query"
        async with self.session.get(url, params={"query": promql}) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return [
            (
                {k: v for k, v in sample["metric"].items() if k not in _TARGET_LABELS},
                float(sample["value"][1]),
            )
            for sample in answer["data"]["result"]
        ]

    async def alerts(self) -> Mapping[str, str]:
        """The alerts that are `pending` or `firing`, by name; the worse of several series."""
        url = f"http://127.0.0.1:{self.port}/api/v1/alerts"
        async with self.session.get(url) as response:
            answer = await response.json()
        found: dict[str, str] = {}
        for alert in answer["data"]["alerts"]:
            name, state = alert["labels"]["alertname"], alert["state"]
            found[name] = min(found.get(name, state), state)  # firing is before pending
        return found

    async def exemplars(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each exemplar that was scraped of a series with this name."""
        params = {"query": name, "start": "1", "end": "9999999999"}
        url = f"http://127.0.0.1:{self.port}/api/v1/query_exemplars"
        async with self.session.get(url, params=params) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return [
            (exemplar["labels"], float(exemplar["value"]))
            for series in answer["data"]
            for exemplar in series["exemplars"]
        ]

    async def eventually(
        self,
        promql: str,
        holds: Callable[[Sequence[Sample]], bool],
        *,
        timeout_seconds: float = 30.0,
    ) -> list[Sample]:
        """The samples of a query once the condition holds of them; fails at the deadline."""
        found: list[Sample] = []

        async def look() -> bool:
            found[:] = await self.query(promql)
            return holds(found)

        await _until(look, f"{promql} to hold", timeout_seconds, lambda: f"; last: {found}")
        return found

    def stop(self) -> None:
        """End the process that `scrape` started and wait for it."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    async def _ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            pytest.fail(f"Prometheus ended: {(self.folder / 'prometheus.log').read_text()[-2000:]}")
        try:
            async with self.session.get(f"http://127.0.0.1:{self.port}/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that starts when the test calls `scrape(port)`."""
    binary = require_tool("prometheus")
    async with aiohttp.ClientSession() as session:
        server = Prometheus(binary, tmp_path, session)
        try:
            yield server
        finally:
            server.stop()


def require_tool(name: str) -> str:
    """Path of `prometheus` or `promtool`; skips without it, and fails where CI=true."""
    path = shutil.which(name)
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(_MISSING)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _until(
    holds: Callable[[], Awaitable[bool]],
    what: str,
    timeout_seconds: float,
    detail: Callable[[], str] = str,
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    while not await holds():
        if loop.time() > deadline:
            pytest.fail(f"waited {timeout_seconds} s for {what}{detail()}")
        await asyncio.sleep(0.1)
