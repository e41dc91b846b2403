"""Tokens for client credentials, from a real HTTP endpoint."""

import asyncio
import base64
from pathlib import Path

import pytest
from aiohttp import web

from streamapp.brokers.kafka.oauth import NoTokenError, token_source
from streamapp.settings import KafkaSettings
from tests.token_provider import Provider, listening
from tests.unit.brokers.manual_clock import ManualClock

HUSH = "hush-hush"


def settings(url: str, **changes: str) -> KafkaSettings:
    return KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_url=url,
        oauth_client_id="ann",
        oauth_client_secret=HUSH,
        **changes,
    )


async def test_connections_that_open_together_share_a_token_until_it_is_nearly_over() -> None:
    provider, clock = Provider(), ManualClock()
    async with listening(provider) as url:
        source = token_source(settings(url, oauth_scope="kafka"), clock)
        assert source is not None
        assert set(await asyncio.gather(source.token(), source.token())) == {"token-1"}
        await clock.advance(79)
        assert await source.token() == "token-1"
        await clock.advance(1)
        assert await source.token() == "token-2"
    basic = "Basic " + base64.b64encode(f"ann:{HUSH}".encode()).decode()
    request = (basic, {"grant_type": "client_credentials", "scope": "kafka"})
    assert provider.requests == [request, request]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (web.json_response({"error": "invalid_client"}, status=401), r"401 \(invalid_client\)"),
        (web.Response(status=503, text="later"), "status 503;"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "status 302;"),
        (web.json_response({"token": HUSH}), "not JSON with an access_token"),
        (web.Response(text=f"<p>{HUSH}</p>"), "not JSON with an access_token"),
    ],
)
async def test_an_endpoint_that_gives_no_token_is_told_without_secrets(
    answer: web.Response, told: str
) -> None:
    async with listening(Provider(answer)) as url:
        source = token_source(settings(url))
        assert source is not None
        with pytest.raises(NoTokenError, match=told) as caught:
            await source.token()
    assert url in str(caught.value)
    assert HUSH not in str(caught.value)
    assert caught.value.__context__ is None


async def test_an_endpoint_that_cannot_be_reached_is_told() -> None:
    async with listening(Provider()) as url:
        pass
    source = token_source(settings(url))
    assert source is not None
    with pytest.raises(NoTokenError, match="no token from http"):
        await source.token()


async def test_a_file_is_read_again_for_each_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    source = await asyncio.to_thread(
        lambda: token_source(
            KafkaSettings(
                security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", oauth_token_file=file
            )
        )
    )
    assert source is not None
    assert await source.token() == "first"
    file.write_text("second\r\n")
    assert await source.token() == "second"
