"""The lookup by HTTP: what it finds and keeps, and whose fault it is when it does not."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from streamapp.agents.http import retry_after_seconds
from streamapp.clock import clock_in_use
from streamapp.errors import ConfigurationError, Permanent, ServiceError
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.retry_after import retry_after_seconds as asked_by
from tests.hand_clock import HandClock
from tests.unit.agents.built import built, faults
from tests.unit.agents.services import (
    Answer,
    Service,
    answering,
    breaking_off,
    hanging,
    opened,
    serving,
)


def _configuration(url: str, **settings: Any) -> dict[str, Any]:
    return {"url": url + "/titles/{key}", "key": "title", "into": "about", **settings}


async def _telling(_service: Service, request: web.Request) -> web.Response:
    return web.json_response({"path": request.path, "query": dict(request.query)})


async def _failure(answer: Answer, **settings: Any) -> Exception:
    async with (
        serving(answer) as service,
        opened(built("HttpLookup", _configuration(service.url, **settings))) as lookup,
    ):
        with pytest.raises((Permanent, ServiceError)) as raised:
            await lookup({"title": "t1"})
        return raised.value


async def test_what_the_service_says_of_the_key_is_added() -> None:
    async with (
        serving(_telling) as service,
        opened(built("HttpLookup", _configuration(service.url))) as lookup,
    ):
        found = await lookup({"title": 42, "ms": 1})
        assert found == {"title": 42, "ms": 1, "about": {"path": "/titles/42", "query": {}}}


@pytest.mark.parametrize("key", ["a b", "a/../b", "a?b=c&d", "ü%2F", "#x", "a+b", "{key}", "a:b@c"])
@pytest.mark.parametrize("in_query", [False, True])
async def test_a_key_stays_one_part_of_the_address(key: str, *, in_query: bool) -> None:
    address = "/titles?id={key}&more=1" if in_query else "/titles/{key}"
    async with serving(_telling) as service:
        settings = {**_configuration(service.url), "url": service.url + address}
        async with opened(built("HttpLookup", settings)) as lookup:
            about = (await lookup({"title": key}))["about"]
        if in_query:
            assert about["query"] == {"id": key, "more": "1"}
        else:
            assert about == {"path": f"/titles/{key}", "query": {}}
        assert service.paths[0].partition("?")[0].count("/") == (1 if in_query else 2)


@pytest.mark.parametrize("key", ["", ".", ".."])
async def test_a_key_that_would_be_another_address_is_the_records_fault(key: str) -> None:
    async with (
        serving(_telling) as service,
        opened(built("HttpLookup", _configuration(service.url))) as lookup,
    ):
        with pytest.raises(Permanent, match="would be another address"):
            await lookup({"title": key})
        assert service.paths == []


@pytest.mark.parametrize("status", [404, 410])
async def test_what_the_service_does_not_have_is_missing(status: int) -> None:
    error = await _failure(answering(status))
    assert str(error) == "title: nothing is known of this key"
    async with serving(answering(status)) as service:
        settings = _configuration(service.url, if_missing="default", default=None)
        async with opened(built("HttpLookup", settings)) as lookup:
            for _ in range(2):
                assert await lookup({"title": "t1"}) == {"title": "t1", "about": None}
        assert len(service.paths) == 1, "that it does not have it is kept, too"


@pytest.mark.parametrize("status", [400, 405, 418, 422])
async def test_a_request_that_the_service_refuses_is_the_records_fault(status: int) -> None:
    error = await _failure(answering(status))
    assert whose_fault(error) is Fault.RECORD
    assert str(error) == f"the service refuses the request with status {status}"


@pytest.mark.parametrize(
    "status", [300, 301, 304, 401, 403, 407, 408, 425, 429, 500, 502, 503, 504]
)
async def test_a_service_that_refuses_all_is_the_worlds_fault(status: int) -> None:
    error = await _failure(answering(status, headers={"Location": "/elsewhere"}))
    assert whose_fault(error) is Fault.WORLD
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hanging, "did not answer within 0.05 s"),
        (breaking_off, "cannot be reached: "),
        (answering(body=b"{"), "something else than JSON"),
        (answering(body=b"[NaN]"), "something else than JSON"),
        (answering(status=204, body=b""), "something else than JSON"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_the_worlds_fault(answer: Answer, why: str) -> None:
    # A hanging service must not take long; the others must have time to answer.
    error = await _failure(answer, timeout_seconds=0.05 if answer is hanging else 30)
    assert whose_fault(error) is Fault.WORLD
    assert why in str(error)


async def test_a_service_that_is_gone_is_the_worlds_fault() -> None:
    async with serving(_telling) as service:
        pass
    async with opened(built("HttpLookup", _configuration(service.url))) as lookup:
        with pytest.raises(ServiceError, match="cannot be reached"):
            await lookup({"title": "t1"})


async def test_an_answer_that_is_too_large_is_the_records_fault() -> None:
    answer = answering(body=b'"' + b"x" * 1000 + b'"')
    error = await _failure(answer, max_answer_bytes=1000)
    assert str(error) == "the answer of the service is larger than 1000 bytes"
    async with serving(answer) as service:
        settings = _configuration(service.url, max_answer_bytes=1002)
        async with opened(built("HttpLookup", settings)) as lookup:
            assert len((await lookup({"title": "t1"}))["about"]) == 1000
    assert whose_fault(error) is Fault.RECORD


async def test_a_service_may_ask_to_be_left_alone() -> None:
    error = await _failure(answering(429, headers={"Retry-After": "7"}))
    assert asked_by(error) == 7


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tue, 14 Nov 2023 22:13:19 GMT", 0),
        ("Tue, 14 Nov 2023 22:14:20", 60),
        ("", 0),
        ("soon", 0),
        ("-3", 0),
        ("\u0663", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    with clock_in_use(HandClock(time=1_700_000_000.0)):
        assert retry_after_seconds(header) == seconds


async def test_an_answer_is_used_again_for_a_while() -> None:
    clock = HandClock()
    with clock_in_use(clock):
        async with (
            serving(_telling) as service,
            opened(built("HttpLookup", _configuration(service.url, cache_seconds=60))) as lookup,
        ):
            first = await lookup({"title": "t1"})
            first["about"]["path"] = "changed"
            clock.advance(59.9)
            assert (await lookup({"title": "t1"}))["about"]["path"] == "/titles/t1"
            assert len(service.paths) == 1
            clock.advance(0.1)
            await lookup({"title": "t1"})
            assert len(service.paths) == 2


@pytest.mark.parametrize("bound", [{"cache_entries": 2}, {"cache_bytes": 90}])
async def test_no_more_answers_are_kept_than_wanted(bound: dict[str, int]) -> None:
    async with (
        serving(_telling) as service,
        opened(built("HttpLookup", _configuration(service.url, **bound))) as lookup,
    ):
        for title in ("t1", "t2", "t3", "t3", "t2", "t1"):
            await lookup({"title": title})
        assert [path[-2:] for path in service.paths] == ["t1", "t2", "t3", "t1"]


async def test_failures_are_not_kept() -> None:
    statuses = iter([503, 200])

    async def recovering(_service: Service, _request: web.Request) -> web.Response:
        return web.Response(status=next(statuses), body=b"1")

    async with (
        serving(recovering) as service,
        opened(built("HttpLookup", _configuration(service.url))) as lookup,
    ):
        with pytest.raises(ServiceError):
            await lookup({"title": "t1"})
        assert (await lookup({"title": "t1"}))["about"] == 1


async def test_headers_may_come_from_a_file_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("Bearer y\n")
    settings = {"headers_from_environment": {"Authorization": "TITLES_TOKEN"}}
    monkeypatch.setenv("TITLES_TOKEN_FILE", str(tmp_path / "token"))
    async with (
        serving(_telling) as service,
        opened(built("HttpLookup", _configuration(service.url, **settings))) as lookup,
    ):
        await lookup({"title": "t1"})
        assert service.headers["Authorization"] == "Bearer y"
    monkeypatch.setenv("TITLES_TOKEN_FILE", str(tmp_path / "gone"))
    lookup = built("HttpLookup", _configuration("http://127.0.0.1:1", **settings))
    assert lookup.lifecycle is not None
    with pytest.raises(ConfigurationError, match=r"Authorization: TITLES_TOKEN_FILE names a file"):
        await lookup.lifecycle.open()


async def test_headers_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "headers": {"Accept": "application/json"},
        "headers_from_environment": {"Authorization": "TITLES_TOKEN"},
    }
    monkeypatch.setenv("TITLES_TOKEN", "Bearer x")
    async with (
        serving(_telling) as service,
        opened(built("HttpLookup", _configuration(service.url, **settings))) as lookup,
    ):
        await lookup({"title": "t1"})
        assert service.headers["Authorization"] == "Bearer x"
        assert service.headers["Accept"] == "application/json"
    monkeypatch.delenv("TITLES_TOKEN")
    lookup = built("HttpLookup", _configuration("http://127.0.0.1:1", **settings))
    assert lookup.lifecycle is not None
    with pytest.raises(
        ConfigurationError,
        match=r"^headers_from_environment.Authorization: the variable TITLES_TOKEN is not set$",
    ):
        await lookup.lifecycle.open()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://host/titles", "give an address with {key} once"),
        ("http://host/{key}/{key}", "give an address with {key} once"),
        ("ftp://host/{key}", "begins with http:// or https://"),
        ("{key}", "begins with http:// or https://"),
        ("http://{key}/titles", "{key} cannot be in the name of the host"),
        ("http://me:secret@host/{key}", "give no password in an address"),
        ("http://me@host/{key}", "give no password in an address"),
    ],
)
def test_a_wrong_address_is_refused(url: str, why: str) -> None:
    found = faults("HttpLookup", {**_configuration(""), "url": url})
    assert found[0].startswith("url: ")
    assert why in found[0]
