"""Sends objects in batches to a service by HTTP, and takes its result for each."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import from_json, to_json

from streamapp.agents.http import HttpClient, HttpConfiguration, checked_url
from streamapp.agents.kinds import MISSING, kind_of
from streamapp.agents.paths import OnePathText, path
from streamapp.agents.targets import TargetText, put, target
from streamapp.errors import Permanent, ServiceError
from streamapp.pipeline.batching import DEFAULT_LINGER_SECONDS, LONGEST_LINGER_SECONDS, Batching
from streamapp.pipeline.capability import Capability


class BulkRequestConfiguration(HttpConfiguration):
    """Configuration of a `BulkRequest`.

    Attributes:
        url: address that takes batches by POST.
        size: most objects of a batch.
        linger_seconds: longest time that the first object of a batch waits for others.
        items: place of the list of objects in the request; by default the request is the list.
        results: path to the list of results in the answer; by default the answer is the list.
        error: path within a result to what says that the object is refused; a result that has
            something there, and not `null`, fails its record.
    """

    url: Annotated[str, AfterValidator(checked_url)]
    size: int = Field(default=100, ge=1)
    linger_seconds: float = Field(default=DEFAULT_LINGER_SECONDS, ge=0, le=LONGEST_LINGER_SECONDS)
    items: TargetText | None = None
    results: OnePathText = "$"
    error: OnePathText | None = None


class BulkRequest:
    """Sends objects in batches to a service, and takes its result for each.

    The service answers with one result for each object, in their order: an object, which is the
    output; `null` for no output; or an error, which fails this record alone.

    Raises:
        ConfigurationError: in `open`, if a variable of the environment is not set.
        ServiceError: the service does not answer, or not with one result for each object.
        Permanent: it refuses the batch; each object is then sent alone.
    """

    capabilities = (Capability.BATCH_PROCESSING,)
    Configuration = BulkRequestConfiguration
    takes_batches = True

    def __init__(self, configuration: BulkRequestConfiguration) -> None:
        self.batching = Batching(configuration.size, configuration.linger_seconds)
        self._url = configuration.url
        self._client = HttpClient(configuration)
        self._items = None if configuration.items is None else target(configuration.items)
        self._results = path(configuration.results)
        self._error = None if configuration.error is None else path(configuration.error)

    async def open(self) -> None:
        """Be ready to ask."""
        await self._client.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def __call__(
        self, values: list[dict[str, Any]]
    ) -> list[dict[str, Any] | Exception | None]:
        """A result for each object."""
        answer = await self._client.post(self._url, self._request(values))
        if not answer.is_found:
            raise ServiceError("the service has nothing at this address")
        try:
            results = self._results.get(from_json(answer.body, allow_inf_nan=False))
        except ValueError as error:
            raise ServiceError("the service answered with something else than JSON") from error
        if not isinstance(results, list):
            raise ServiceError(f"{self._results.text}: the results are {kind_of(results)}")
        if len(results) != len(values):
            raise ServiceError(
                f"{self._results.text}: {len(results)} results for {len(values)} objects"
            )
        return list(map(self._result, results))

    def _request(self, values: list[dict[str, Any]]) -> bytes:
        if self._items is None:
            return to_json(values)
        request: dict[str, Any] = {}
        put(request, self._items, values)
        return to_json(request)

    def _result(self, result: Any) -> dict[str, Any] | Exception | None:
        if self._error is not None and self._error.get(result) not in (MISSING, None):
            return Permanent(f"the service refuses it: its result has {self._error.text}")
        if result is None or isinstance(result, dict):
            return result
        return Permanent(f"the result of the service is {kind_of(result)}, not an object")
