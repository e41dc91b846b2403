"""Tokens of OAUTHBEARER from an OpenID provider, for client credentials."""

import asyncio
import base64
from contextlib import suppress

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamapp.brokers.kafka.oauth import NoTokenError
from streamapp.clock import Clock

_TIMEOUT_SECONDS = 5.0
# A token is asked for anew when this part of its lifetime is over, as Kafka's own client does.
_RENEW_AFTER = 0.8
# RFC 6749 only recommends that the lifetime is told.
_UNTOLD_LIFETIME_SECONDS = 60.0
_LONGEST_ERROR = 200


class TokenEndpoint:
    """Tokens for client credentials (RFC 6749, section 4.4), kept until they are nearly over."""

    def __init__(self, url: str, client: tuple[str, str], scope: str | None, clock: Clock) -> None:
        self._url = url
        credentials = base64.b64encode(":".join(client).encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Accept": "application/json"}
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._clock = clock
        self._asking = asyncio.Lock()  # connections that open together ask once
        self._token = ""
        self._renew_at = 0.0

    async def token(self) -> str:
        """The token that was given last, or a new one when that is nearly over."""
        async with self._asking:
            if not self._token or self._clock.monotonic() >= self._renew_at:
                asked_at = self._clock.monotonic()
                answer = await self._ask()
                self._token = answer.access_token
                self._renew_at = asked_at + _RENEW_AFTER * answer.expires_in
            return self._token

    async def _ask(self) -> "_Answer":
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
                ) as session,
                session.post(
                    self._url, data=self._form, headers=self._headers, allow_redirects=False
                ) as response,
            ):
                body = await response.read()
                if response.status != 200:  # noqa: PLR2004 - the status of a given token
                    raise NoTokenError(self._refused(response.status, body))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise NoTokenError(f"no token from {self._url}: {why}") from error
        with suppress(ValidationError):
            return _Answer.model_validate_json(body)
        # Raised outside the handler: the chained error could show a token.
        raise NoTokenError(
            f"no token from {self._url}: the answer is not JSON with an access_token"
        )

    def _refused(self, status: int, body: bytes) -> str:
        fault = _Fault()
        with suppress(ValidationError):
            fault = _Fault.model_validate_json(body)
        told = f" ({fault.error})"[:_LONGEST_ERROR] if fault.error else ""
        return (
            f"no token from {self._url}: status {status}{told}; check"
            " STREAMAPP_KAFKA_OAUTH_CLIENT_ID, _OAUTH_CLIENT_SECRET and _OAUTH_SCOPE"
        )


class _Answer(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    access_token: str = Field(min_length=1)
    expires_in: float = Field(default=_UNTOLD_LIFETIME_SECONDS, ge=0)


class _Fault(BaseModel):
    error: str = ""
