"""What all agents with a language model have in common: a client, and what it has used."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from streamapp.agents.model_configuration import ModelConfiguration
from streamapp.agents.provider_limits import ProviderLimits, limits_of
from streamapp.errors import ConfigurationError
from streamapp.observability.model_usage import ModelUsage

if TYPE_CHECKING:
    from streamapp.agents.model_client import ModelClient

OutputT = TypeVar("OutputT", bound=BaseModel)


def _refuse_nothing(_output: Any) -> str | None:
    return None


class ModelAgent(Generic[OutputT]):
    """An agent that asks a model for each input.

    Attributes:
        usage: what it has used.

    Args:
        configuration: which model, and how.
        output_type: what the model has to give.
    """

    def __init__(self, configuration: ModelConfiguration, output_type: type[OutputT]) -> None:
        self.usage = ModelUsage()
        self._configuration = configuration
        self._output_type = output_type
        self._client: ModelClient[OutputT] | None = None

    async def open(self) -> None:
        """Be ready to ask; no connection is made yet.

        Raises:
            ConfigurationError: the extra `ai` is not installed, or the provider's key is not set.
        """
        limits = limits_of(self._configuration.provider)
        # In a thread: the library is large, and certificates are read from a file.
        self._client = await asyncio.to_thread(self._make_client, limits)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _make_client(self, limits: ProviderLimits) -> "ModelClient[OutputT]":
        try:
            # Definitions of these agents are read where nobody has installed the extra.
            from streamapp.agents.model_client import ModelClient  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError(
                "an agent with a model needs pydantic-ai; install streamapp[ai]"
            ) from error
        return ModelClient(self._configuration, self._output_type, self.usage, limits)

    async def ask(
        self, value: BaseModel, refusal: Callable[[OutputT], str | None] = _refuse_nothing
    ) -> OutputT:
        """What the model makes of a value.

        Args:
            value: what it is given, as JSON.
            refusal: what to tell the model about an output that does not fit; `None` if it does.

        Raises:
            ServiceError: the provider cannot be reached, is too slow, or refuses for now.
            Permanent: the model gives no output that fits, or cannot take the value.
        """
        if self._client is None:
            raise ConfigurationError("the agent was called before it was opened")
        return await self._client.ask(value.model_dump_json(), refusal)
