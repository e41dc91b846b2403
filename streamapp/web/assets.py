"""The files that the page loads, all of them of this package."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that the page loads.

    Attributes:
        path: where the server has it.
        body: its bytes.
        content_type: what they are.
        url: the same path with a version, so that browsers may keep the file.
    """

    path: str
    body: bytes
    content_type: str

    @property
    def url(self) -> str:
        """Its address on this server."""
        return f"{self.path}?v={hashlib.sha256(self.body).hexdigest()[:12]}"


def _asset(name: str, content_type: str) -> Asset:
    body = files("streamapp.web").joinpath("assets", name).read_bytes()
    return Asset(f"/assets/{name}", body, content_type)


STYLE = _asset("page.css", "text/css")
SCRIPT = _asset("page.js", "text/javascript")
ASSETS = (STYLE, SCRIPT)
