"""The HTTP server of a worker: metrics, health, readiness and the status page.

It has no requests that change anything. Beyond this machine it answers only who has the token; see
`access`.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from streamapp.clock import Clock
from streamapp.errors import ConfigurationError, PortInUseError
from streamapp.observability.health import (
    Health,
    stage_health,
    stage_readiness,
)
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.observability.stage_report import StatusReport
from streamapp.observability.verdict import is_live, verdict_of
from streamapp.pipeline.outline import Outline
from streamapp.web.access import (
    LOOPBACK,
    PROBES,
    Access,
    checked_host,
    is_this_machine,
    narrowed,
    near_address,
)
from streamapp.web.assets import ASSETS, Asset
from streamapp.web.hosts import WRONG_HOST, names_this_machine
from streamapp.web.page import page
from streamapp.web.status import StatusReporter

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_KEPT: Final = {**_HEADERS, "Cache-Control": "max-age=31536000, immutable"}
"""Assets have a version in their address."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class View(Protocol):
    """The pages of a server."""

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers of GET requests, by path."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """The pages of one worker.

    Attributes:
        stages: returns the counters of every stage, ended ones included.
        render_metrics: turns an `Accept` header into body and content type, as
            `MetricsExporter.render` does.
        clock: the clock that the counters were written with.
        outlines: what the pipelines are, to show how their stages are connected.
        chains: returns the agents of assembled pipelines with their scores, as JSON can hold it.
    """

    stages: Callable[[], Sequence[StageMetrics]]
    render_metrics: Callable[[str], Awaitable[tuple[bytes, str]]]
    clock: Clock
    outlines: Sequence[Outline] = ()
    chains: Callable[[], Sequence[dict[str, Any]]] = tuple

    def handlers(self) -> Mapping[str, Handler]:
        """`/`, `/metrics`, the answers for probes, and `/status`."""
        reporter = StatusReporter(
            self.stages,
            self.clock,
            chains=self.chains,
            outlines=self.outlines,
        )

        async def index(request: web.Request) -> web.Response:
            return await html(reporter.report(), request)

        async def status(_: web.Request) -> web.Response:
            return json(reporter.report().model_dump(mode="json"), ok=True)

        async def metrics(request: web.Request) -> web.Response:
            return exposition(*await self.render_metrics(request.headers.get("Accept", "")))

        async def healthz(_: web.Request) -> web.Response:
            now = self.clock.monotonic()
            return _verdict(
                [(m, stage_health(m, now, m.stall_after_seconds)) for m in self.stages()],
                without_stages=True,
            )

        async def livez(_: web.Request) -> web.Response:
            now = self.clock.monotonic()
            judged = [(m, verdict_of(m, now, m.stall_after_seconds)) for m in self.stages()]
            answers = [(m, Health(is_live(verdict, m), verdict.reason)) for m, verdict in judged]
            return _verdict(answers, without_stages=True)

        async def readyz(_: web.Request) -> web.Response:
            now = self.clock.monotonic()
            return _verdict(
                [(m, stage_readiness(m, now)) for m in self.stages()], without_stages=False
            )

        return {
            "/": index,
            "/metrics": metrics,
            "/healthz": healthz,
            "/livez": livez,
            "/readyz": readyz,
            "/status": status,
        }


@dataclass(frozen=True, slots=True)
class WithoutMetrics:
    """The pages of another view, of which `/metrics` has nothing.

    Attributes:
        view: the other view.
        why: why there are no metrics, as a sentence.
    """

    view: View
    why: str

    def handlers(self) -> Mapping[str, Handler]:
        """Those of the other view, but for `/metrics`, which is 404."""

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(status=404, text=f"{self.why}\n", headers=_HEADERS)

        return {**self.view.handlers(), "/metrics": metrics}


class WebServer:
    """Answers GET requests for the pages of a view; 404 or 405 for all others.

    Args:
        view: the pages.
        host: address to listen on.
        port: port to listen on; 0 takes any free one.
        access: what is asked of whoever asks.

    Attributes:
        port: port it listens on; if 0 was given, the system has chosen it.
    """

    def __init__(
        self, view: View, *, host: str = LOOPBACK, port: int = 0, access: Access | None = None
    ) -> None:
        """Check the address; nothing listens before `start`.

        Raises:
            ConfigurationError: the host is no address, or it can be reached from elsewhere and
                nothing is asked for; or the port is out of range.
        """
        self.host = checked_host(host, access or Access())
        self.port = _port(port)
        self._access = narrowed(self.host, access or Access())
        self._view = view
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Address of the page, for this machine."""
        host = near_address(self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/"

    async def start(self) -> None:
        """Listen.

        Raises:
            PortInUseError: another process has the port.
            ConfigurationError: the system refuses this address and port.
        """
        runner = web.AppRunner(
            _application(self._view, self._access, checks_host=is_this_machine(self.host)),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise _refusal(self.host, self.port, error) from error
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and the connections; open requests have one second to end."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()


def _port(port: int) -> int:
    if not 0 <= port <= 65535:  # noqa: PLR2004 - the range of TCP ports
        raise ConfigurationError(f"{port} is not a port; use 1 to 65535, or 0 for any free port")
    return port


def _refusal(host: str, port: int, error: OSError) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"port {port} on {host} is in use by another process; stop that process, "
            "or choose another port (0 takes any free port)"
        )
    return ConfigurationError(
        f"cannot listen on {host} port {port} ({error.strerror}); choose another address or port"
    )


def _application(view: View, access: Access, *, checks_host: bool) -> web.Application:
    checks = [_naming_us(access.hosts)] if checks_host else []
    app = web.Application(middlewares=[*checks, _asking(access)])
    app.add_routes([web.get(path, handler) for path, handler in view.handlers().items()])
    app.add_routes([web.get(one.path, _serving(one)) for one in ASSETS])
    return app


def _naming_us(others: Sequence[str]) -> Middleware:
    """Refuses requests that a page of somebody else may have made of its own name."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if names_this_machine(request.headers.get("Host", ""), others):
            return await handler(request)
        told = "ask for 127.0.0.1 or localhost; STREAMAPP_WEB_ALLOWED_HOSTS allows other names\n"
        return web.Response(status=WRONG_HOST, text=told, headers=_HEADERS)

    return check


def _asking(access: Access) -> Middleware:
    """Lets through what the access allows, before anything is looked up."""

    @web.middleware
    async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
        if access.allows(request.path, request.headers.get("Authorization", "")):
            return await handler(request)
        if access.token is None:
            told = f"open are {', '.join(PROBES)}; STREAMAPP_WEB_TOKEN opens the rest\n"
            return web.Response(status=403, text=told, headers=_HEADERS)
        asks = {"WWW-Authenticate": 'Basic realm="streamapp: the token is the password"'}
        told = "send the token as a bearer token, or as the password of any user\n"
        return web.Response(status=401, text=told, headers={**_HEADERS, **asks})

    return ask


def _serving(asset: Asset) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=asset.body, content_type=asset.content_type, headers=_KEPT)

    return answer


async def html(report: StatusReport, request: web.Request) -> web.Response:
    """The page of a report, of the pipeline that is asked for."""
    # Beside the event loop: a page of many stages takes a while.
    text = await asyncio.to_thread(page, report, request.query.get("pipeline"))
    return web.Response(text=text, content_type="text/html", headers=_HEADERS)


def exposition(body: bytes, content_type: str) -> web.Response:
    """A response with metrics in a format of Prometheus."""
    return web.Response(body=body, headers=_HEADERS | {"Content-Type": content_type})


def json(body: Any, *, ok: bool) -> web.Response:
    """A JSON response with status 200 or 503."""
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE),
        status=200 if ok else 503,
        content_type="application/json",
        headers=_HEADERS,
    )


def _verdict(
    answers: Sequence[tuple[StageMetrics, Health]], *, without_stages: bool
) -> web.Response:
    """200 if every stage is healthy, else 503; the body lists each stage with its reason."""
    ok = all(health.ok for _, health in answers) if answers else without_stages
    stages = [
        {"pipeline": m.pipeline, "stage": m.stage, "ok": health.ok, "reason": health.reason}
        for m, health in answers
    ]
    return json({"ok": ok, "stages": stages}, ok=ok)
