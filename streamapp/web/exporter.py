"""The pages of an exporter: metrics, and whether Kafka answers."""

from collections.abc import Mapping

from aiohttp import web

from streamapp.exporter.families import OutsideExporter
from streamapp.exporter.watch import OutsideWatch
from streamapp.web.server import Handler, exposition, json


class ExporterView:
    """The pages of an exporter.

    Args:
        watch: what Kafka says of stages.
        exporter: the same as metrics.
    """

    def __init__(self, watch: OutsideWatch, exporter: OutsideExporter) -> None:
        self._watch = watch
        self._exporter = exporter

    def handlers(self) -> Mapping[str, Handler]:
        """`/metrics` and the answers for probes, and at `/` where they are.

        The process lives while it answers; a Kafka that does not is no reason to restart it.
        """
        return {
            "/": self._index,
            "/metrics": self._metrics,
            "/livez": self._livez,
            "/healthz": self._healthz,
            "/readyz": self._healthz,
        }

    async def _index(self, _: web.Request) -> web.Response:
        pages = {"pages": ["/metrics", "/healthz", "/readyz", "/livez"]}
        return json(self._health() | pages, ok=True)

    async def _metrics(self, request: web.Request) -> web.Response:
        return exposition(*await self._exporter.render(request.headers.get("Accept", "")))

    async def _livez(self, _: web.Request) -> web.Response:
        return json({"ok": True, "reason": "answers"}, ok=True)

    async def _healthz(self, _: web.Request) -> web.Response:
        found = self._health()
        return json(found, ok=bool(found["ok"]))

    def _health(self) -> dict[str, object]:
        ok = self._watch.snapshot() is not None
        return {"ok": ok, "reason": "Kafka answers" if ok else self._watch.why_unknown}
