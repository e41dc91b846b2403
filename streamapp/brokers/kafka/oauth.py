"""Tokens of OAUTHBEARER: from a file, or from an OpenID provider for client credentials."""

import asyncio
from pathlib import Path
from typing import Protocol

import aiokafka.conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import OAuthAuthenticator
from aiokafka.errors import KafkaConnectionError

from streamapp.clock import Clock, SystemClock
from streamapp.secret_files import read_secret
from streamapp.settings import KafkaSettings


class NoTokenError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka has no types
    """There is no token to authenticate with; the client tries again as with a lost connection."""


class TokenSource(Protocol):
    """Where tokens come from."""

    async def token(self) -> str:
        """A valid token.

        Raises:
            NoTokenError: there is none; says why.
        """


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Gives the Kafka client the tokens of a source."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        aiokafka.conn.OAuthAuthenticator = _CheckedAuthenticator

    async def token(self) -> str:
        """A valid token.

        Raises:
            NoTokenError: there is none; says why.
        """
        return await self._source.token()


class _CheckedAuthenticator(OAuthAuthenticator):  # type: ignore[misc]  # aiokafka has no types
    """Reads the broker's answer to a token; aiokafka 0.14 takes every answer for a welcome.

    A broker tells in its answer why it refuses a token, and closes the connection with an error
    once the client has confirmed that (RFC 7628, section 3.2.3).
    """

    _has_confirmed = False

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        """The next message for the broker; `None` when nothing is left to say."""
        if not payload or self._has_confirmed:
            message: tuple[bytes, bool] | None = await super().step(payload)
            return message
        self._has_confirmed = True
        return b"\x01", True


class TokenFile:
    """Tokens from a file that something else renews, such as a projected service account."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """What the file says now."""
        try:
            return await asyncio.to_thread(read_secret, self._path)
        except ValueError as error:
            raise NoTokenError(f"STREAMAPP_KAFKA_OAUTH_TOKEN_FILE {error}") from None


def token_source(settings: KafkaSettings, clock: Clock | None = None) -> TokenSource | None:
    """Where the settings say that tokens come from; `None` if there are none."""
    if settings.oauth_token_file is not None:
        return TokenFile(settings.oauth_token_file)
    secret = settings.oauth_client_secret
    if settings.oauth_token_url is None or settings.oauth_client_id is None or secret is None:
        return None
    from streamapp.brokers.kafka.token_endpoint import TokenEndpoint  # noqa: PLC0415 - most workers need no HTTP client

    return TokenEndpoint(
        settings.oauth_token_url,
        (settings.oauth_client_id, secret.get_secret_value()),
        settings.oauth_scope,
        clock or SystemClock(),
    )
