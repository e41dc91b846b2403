"""Who may ask the web server: all on this machine, and beyond it whoever has the token."""

from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest

from streamapp.cli.web_access import web_access
from streamapp.clock import SystemClock
from streamapp.errors import ConfigurationError
from streamapp.observability.exporter import MetricsExporter
from streamapp.web.access import PROBES, Access, checked_host, narrowed, near_address
from streamapp.web.hosts import WRONG_HOST
from streamapp.web.server import WebServer, WorkerView
from tests.unit.cli.test_run_options import PLAIN

TOKEN = "0123456789abcdef"  # noqa: S105 - of these tests
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested
OTHERS = ("/", "/status", "/assets/page.css", "/nothing")


def bearer(token: str) -> str:
    return f"Bearer {token}"


def basic(token: str) -> str:
    return f"Basic {b64encode(f'anybody:{token}'.encode()).decode()}"


@pytest.mark.parametrize("send", [bearer, basic])
@pytest.mark.parametrize("path", [*PROBES, *OTHERS])
def test_with_a_token_only_whoever_sends_it_is_answered(path: str, send: type) -> None:
    access = Access(TOKEN)
    assert access.allows(path, send(TOKEN))
    for wrong in ("", send(""), send(TOKEN[:-1]), send(f"{TOKEN}0"), TOKEN, f"Digest {TOKEN}"):
        assert not access.allows(path, wrong)


@pytest.mark.parametrize(
    "authorization", ["Basic", "Basic !", "Basic /w==", "Bearer", "Bearer ü", "Bearer \udcff"]
)
def test_what_is_no_authorization_is_refused_and_no_error(authorization: str) -> None:
    assert not Access(TOKEN).allows("/", authorization)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_open_are_probes_and_scrapes_only(token: str | None) -> None:
    access = Access(token, opens_probes=True)
    assert all(access.allows(path, "") for path in PROBES)
    assert not any(access.allows(path, "") for path in OTHERS)
    assert access.allows("/", bearer(TOKEN)) is (token is not None)


@pytest.mark.parametrize("path", ["/metrics/", "//metrics", "/metricsx", "/livez/../status"])
def test_what_only_looks_like_a_probe_is_not_open(path: str) -> None:
    assert not Access(TOKEN, opens_probes=True).allows(path, "")


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 15, "with a blank in the middle", "ü" * 20, "x" * 16 + "\n"]
)
def test_a_token_that_is_no_good_is_refused_and_never_shown(token: str) -> None:
    with pytest.raises(ConfigurationError, match="at least 16 characters") as refusal:
        Access(token)
    assert not token or token not in str(refusal.value)
    assert TOKEN not in repr(Access(TOKEN))


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.0.1"])
def test_beyond_this_machine_something_is_asked_for(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{host} can be reached from elsewhere"):
        checked_host(host, Access())
    for access in (Access(TOKEN), Access(opens_probes=True)):
        assert checked_host(host, access) == host
        assert narrowed(host, access) == access


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_this_machine_alone_nothing_is_asked_for_without_a_token(host: str) -> None:
    address = checked_host(host, Access())
    assert narrowed(address, Access(opens_probes=True)).allows("/", "")
    assert not narrowed(address, Access(TOKEN)).allows("/", "")


@pytest.mark.parametrize("host", ["example.com", "", "127.0.0.1 ", "127.0.0.1:80"])
def test_what_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an IP address"):
        checked_host(host, Access(TOKEN))


def test_this_machine_reaches_a_server_of_all_addresses_at_its_own() -> None:
    hosts = {EVERYWHERE: "127.0.0.1", "::": "::1", "192.168.0.1": "192.168.0.1"}
    assert {host: near_address(host) for host in hosts} == hosts


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 401), (None, 403)])
async def test_a_server_asks_browsers_for_the_token_and_says_what_is_open(
    token: str | None, status: int
) -> None:
    exporter = MetricsExporter(SystemClock())
    view = WorkerView(tuple, exporter.render, SystemClock())
    server = WebServer(view)
    server._access = Access(token, opens_probes=True)  # as beyond this machine
    await server.start()
    async with aiohttp.ClientSession(server.url) as session:
        async with session.get("/livez") as answer:
            assert answer.status == 200
        for path in OTHERS:
            async with session.get(path) as answer:
                assert answer.status == status
                asks = answer.headers.get("WWW-Authenticate", "")
                assert asks.startswith("Basic") is (token is not None)
        async with session.get("/", headers={"Authorization": basic(TOKEN)}) as answer:
            assert answer.status == (200 if token else 403)
    await server.stop()


def test_the_token_is_read_from_the_environment_or_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert web_access(PLAIN) == Access()
    monkeypatch.setenv("STREAMAPP_WEB_TOKEN", TOKEN)
    assert web_access(PLAIN) == Access(TOKEN)
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.setenv("STREAMAPP_WEB_TOKEN_FILE", str(file))
    with pytest.raises(ConfigurationError, match="are both set"):
        web_access(PLAIN)
    monkeypatch.delenv("STREAMAPP_WEB_TOKEN")
    assert web_access(PLAIN) == Access(TOKEN)


OUR_NAMES = (
    "localhost",
    "LOCALHOST:9464",
    "localhost.",
    "127.0.0.1:9464",
    "127.0.0.2",
    "[::1]:9464",
)
THEIR_NAMES = (
    "evil.example:9464",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "[",
    "10.0.0.1",
)


@pytest.mark.parametrize("path", ["/", *PROBES])
async def test_a_server_on_this_machine_answers_to_its_own_names_only(path: str) -> None:
    exporter = MetricsExporter(SystemClock())
    view = WorkerView(tuple, exporter.render, SystemClock())
    server = WebServer(view, access=Access(hosts=("status.example",)))
    await server.start()
    async with aiohttp.ClientSession(server.url) as session:
        for name in (*OUR_NAMES, "status.example", "status.example:443"):
            async with session.get(path, headers={"Host": name}) as answer:
                assert answer.status in (200, 503), name
        for name in THEIR_NAMES:
            async with session.get(path, headers={"Host": name}) as answer:
                assert answer.status == WRONG_HOST, name
                assert "STREAMAPP_WEB_ALLOWED_HOSTS" in await answer.text()
    await server.stop()


async def test_a_server_beyond_this_machine_answers_scrapes_for_addresses_and_services() -> None:
    exporter = MetricsExporter(SystemClock())
    view = WorkerView(tuple, exporter.render, SystemClock())
    server = WebServer(view, host=EVERYWHERE, access=Access(opens_probes=True))
    await server.start()
    async with aiohttp.ClientSession(server.url) as session:
        for name in ("10.1.2.3:9464", "orders.streams.svc:9464", "worker:9464"):
            async with session.get("/metrics", headers={"Host": name}) as answer:
                assert answer.status == 200, name
    await server.stop()


def test_further_names_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMAPP_WEB_ALLOWED_HOSTS", "status.example, other.example,")
    access = web_access(PLAIN)
    assert access is not None
    assert access.hosts == ("status.example", "other.example")
