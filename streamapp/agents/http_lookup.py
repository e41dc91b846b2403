"""Adds what a service says by HTTP of the key of each object."""

from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, Field
from pydantic_core import from_json

from streamapp.agents.http import HttpClient, HttpConfiguration, checked_url
from streamapp.agents.lookup import Lookup, LookupConfiguration
from streamapp.agents.recent import Recent
from streamapp.clock import current_clock
from streamapp.errors import Permanent, ServiceError
from streamapp.pipeline.capability import Capability

_KEY = "{key}"
_NOTHING = b""


def _with_key(text: str) -> str:
    if text.count(_KEY) != 1:
        raise ValueError(f"give an address with {_KEY} once, such as https://host/titles/{_KEY}")
    checked_url(text.replace(_KEY, "key"))
    if _KEY in text.split("/", 3)[2]:
        raise ValueError(f"{_KEY} cannot be in the name of the host")
    return text


class HttpLookupConfiguration(LookupConfiguration, HttpConfiguration):
    """Configuration of an `HttpLookup`.

    Attributes:
        url: address of what is known of a key, with `{key}` in its place.
        cache_seconds: how long an answer is used again; 0 for never.
        cache_entries: most answers that are kept; beyond it the oldest are forgotten.
        cache_bytes: most bytes of answers that are kept.
    """

    url: Annotated[str, AfterValidator(_with_key)]
    cache_seconds: float = Field(default=300.0, ge=0)
    cache_entries: int = Field(default=10_000, ge=1)
    cache_bytes: int = Field(default=64 * 1024 * 1024, ge=1)


class HttpLookup:
    """Adds what a service says of the key of each object.

    Its answer is any JSON. Status 404 or 410 means that nothing is known. Other answers that refuse
    the request are the record's fault. Errors of the service, refusals for now or of the caller,
    timeouts and lost connections are the world's.

    Raises:
        ConfigurationError: in `open`, if a variable of the environment is not set.
        ServiceError: the service does not answer.
        Permanent: nothing is known of a key, it is no key, or the service refuses it.
    """

    capabilities = (Capability.DATA_ENRICHMENT,)
    Configuration = HttpLookupConfiguration

    def __init__(self, configuration: HttpLookupConfiguration) -> None:
        self._url = configuration.url
        self._in_path = _KEY in configuration.url.partition("?")[0]
        self._lookup = Lookup(configuration)
        self._client = HttpClient(configuration)
        self._cache: Recent[bytes] = Recent(
            configuration.cache_entries, configuration.cache_seconds, configuration.cache_bytes
        )

    async def open(self) -> None:
        """Be ready to ask."""
        await self._client.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def __call__(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object, with what is known of its key."""
        key = self._lookup.key(value)
        found = _NOTHING if key is None else await self._find(key)
        return self._lookup.joined(value, found or None)

    async def _find(self, key: str) -> bytes:
        clock = current_clock()
        known = self._cache.get(key, clock.monotonic())
        if known is None:
            known = await self._ask(key)
            self._cache.put(key, known, clock.monotonic(), len(key) + len(known))
        return known

    async def _ask(self, key: str) -> bytes:
        if self._in_path and key in ("", ".", ".."):
            raise Permanent(f"the key {key!r} would be another address")
        answer = await self._client.get(self._url.replace(_KEY, quote(key, safe="")))
        if not answer.is_found:
            return _NOTHING
        try:
            from_json(answer.body, allow_inf_nan=False)
        except ValueError as error:
            raise ServiceError("the service answered with something else than JSON") from error
        return answer.body
