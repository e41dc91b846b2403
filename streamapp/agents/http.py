"""Asks services by HTTP, and tells whose fault it is when they do not answer."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import Field

from streamapp.agents.configuration import AgentConfiguration
from streamapp.clock import current_clock
from streamapp.errors import ConfigurationError, Permanent, ServiceError
from streamapp.secret_files import secret_in

_NOT_THE_RECORDS_FAULT = frozenset(
    {
        # Who calls may not, whatever the record.
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        # Not now.
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class HttpConfiguration(AgentConfiguration):
    """How a service is asked.

    Attributes:
        timeout_seconds: longest time of one request, with its answer.
        headers: headers of every request.
        headers_from_environment: names of headers, each with the environment variable that has its
            value, such as `{"Authorization": "TITLES_TOKEN"}`.
        max_answer_bytes: largest answer that is taken.
        max_connections: most connections at a time.
    """

    timeout_seconds: float = Field(default=5.0, gt=0)
    headers: dict[str, str] = Field(default_factory=dict)
    headers_from_environment: dict[str, str] = Field(default_factory=dict)
    max_answer_bytes: int = Field(default=1024 * 1024, ge=1)
    max_connections: int = Field(default=100, ge=1)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a service has answered.

    Attributes:
        is_found: whether there is what was asked for.
        body: the bytes of the answer.
    """

    is_found: bool
    body: bytes


def checked_url(text: str) -> str:
    """The address of a service.

    Raises:
        ValueError: it is no address that can be asked by HTTP.
    """
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("give an address that begins with http:// or https:// and names a host")
    if url.username or url.password:
        raise ValueError("give no password in an address; use 'headers_from_environment'")
    return text


class HttpClient:
    """Asks one service.

    Args:
        configuration: how.
    """

    def __init__(self, configuration: HttpConfiguration) -> None:
        self._configuration = configuration
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Be ready to ask; no connection is made yet.

        Raises:
            ConfigurationError: an environment variable is not set, or its file has no secret.
        """
        configuration = self._configuration
        # In a thread: a secret may be in a file.
        secrets = await asyncio.to_thread(self._secret_headers)
        self._session = aiohttp.ClientSession(
            headers={**configuration.headers, **secrets},
            timeout=aiohttp.ClientTimeout(total=configuration.timeout_seconds),
            connector=aiohttp.TCPConnector(limit=configuration.max_connections),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str) -> HttpAnswer:
        """Ask for what is at an address.

        Raises:
            ServiceError: the service cannot be reached, took too long, or refuses for now.
            Permanent: it refuses the request, or the answer is too large.
        """
        return await self._ask("GET", url)

    async def post(self, url: str, body: bytes) -> HttpAnswer:
        """Send JSON to an address; errors as of `get`."""
        return await self._ask("POST", url, data=body, headers={"Content-Type": "application/json"})

    async def _ask(self, method: str, url: str, **request: Any) -> HttpAnswer:
        if self._session is None:
            raise ConfigurationError("the agent was called before it was opened")
        seconds = self._configuration.timeout_seconds
        try:
            async with self._session.request(
                method, url, allow_redirects=False, **request
            ) as answer:
                return await self._read(answer)
        except TimeoutError as error:
            raise ServiceError(f"the service did not answer within {seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceError(f"the service cannot be reached: {type(error).__name__}") from error

    async def _read(self, answer: aiohttp.ClientResponse) -> HttpAnswer:
        if answer.status in _GONE:
            return HttpAnswer(is_found=False, body=b"")
        if not HTTPStatus(200) <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise _refusal(answer.status, answer.headers)
        body, most = bytearray(), self._configuration.max_answer_bytes
        async for part in answer.content.iter_any():
            body += part
            if len(body) > most:
                raise Permanent(f"the answer of the service is larger than {most} bytes")
        return HttpAnswer(is_found=True, body=bytes(body))

    def _secret_headers(self) -> Mapping[str, str]:
        wanted = self._configuration.headers_from_environment
        found = {}
        for header, variable in wanted.items():
            try:
                secret = secret_in(os.environ, variable)
            except ValueError as error:
                raise ConfigurationError(f"headers_from_environment.{header}: {error}") from None
            if secret is None:
                raise ConfigurationError(
                    f"headers_from_environment.{header}: the variable {variable} is not set"
                )
            found[header] = secret
        return found


def refuses_the_request(status: int) -> bool:
    """Whether a status says that this request is refused, and another one would not be."""
    is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return is_refusal and status not in _NOT_THE_RECORDS_FAULT


def _refusal(status: int, headers: Mapping[str, str]) -> Exception:
    if refuses_the_request(status):
        return Permanent(f"the service refuses the request with status {status}")
    retry_after = retry_after_seconds(headers.get("Retry-After", ""))
    return ServiceError(f"the service answered with status {status}", retry_after=retry_after)


def retry_after_seconds(header: str) -> float:
    """Seconds that a header `Retry-After` asks for (RFC 9110); 0 if it says nothing usable."""
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    now = datetime.fromtimestamp(current_clock().time(), UTC)
    return max(0.0, (until - now).total_seconds())
