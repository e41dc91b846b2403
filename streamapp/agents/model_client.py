"""The adapter to pydantic-ai, from the extra `ai`: asks a model, and tells whose faults are.

What the model does wrong is corrected by it a few times, and is the record's fault then: another
attempt would ask the same. What its provider or the network does wrong is the world's fault.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from openai import AsyncOpenAI, OpenAIError
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, ModelSettings, RunContext
from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RunUsage

from streamapp.agents.http import refuses_the_request
from streamapp.agents.model_configuration import ModelConfiguration, Provider
from streamapp.agents.provider_limits import ProviderLimits
from streamapp.errors import ConfigurationError, Permanent, ServiceError
from streamapp.observability.model_usage import ModelUsage
from streamapp.secret_files import secret_in

OutputT = TypeVar("OutputT", bound=BaseModel)

_WITHOUT_KEY = "no key"


class ModelClient(Generic[OutputT]):
    """Asks one model for one kind of output.

    Args:
        configuration: which model, and how.
        output_type: what it has to give.
        usage: what it uses is counted here.
        limits: when its calls may begin.

    Raises:
        ConfigurationError: the variable with the provider's key is not set.
    """

    def __init__(
        self,
        configuration: ModelConfiguration,
        output_type: type[OutputT],
        usage: ModelUsage,
        limits: ProviderLimits,
    ) -> None:
        _log_no_request()
        self._configuration = configuration
        self._usage = usage
        self._limits = limits
        is_test = configuration.provider.kind == "test"
        self._openai = None if is_test else _openai_client(configuration)
        self._agent: Agent[object, OutputT] = Agent(
            _ProvidedModel(_model(configuration, self._openai)),
            output_type=output_type,
            instructions=configuration.instructions,
            retries={"output": configuration.output_retries},
            model_settings=_settings(configuration),
        )
        self._agent.output_validator(_check)

    async def ask(self, prompt: str, refusal: Callable[[OutputT], str | None]) -> OutputT:
        """What the model gives for a prompt; errors as of `ModelAgent.ask`."""
        await self._limits.wait_for_turn()
        used = RunUsage()
        self._usage.calls += 1
        try:
            async with asyncio.timeout(self._configuration.timeout_seconds):
                run = await self._agent.run(prompt, deps=refusal, usage=used)
        except ServiceError:
            self._usage.outages += 1
            raise
        except (AgentRunError, OpenAIError, TimeoutError) as error:
            raise self._failure(error) from None  # its text quotes what was asked or answered
        finally:
            self._count(used)
        output: OutputT = run.output
        return output

    async def close(self) -> None:
        """Close the connections."""
        if self._openai is not None:
            await self._openai.close()

    def _count(self, used: RunUsage) -> None:
        corrections = max(0, used.requests - 1)
        self._limits.count(corrections, used.input_tokens + used.output_tokens)
        self._usage.requests += used.requests
        self._usage.input_tokens += used.input_tokens
        self._usage.output_tokens += used.output_tokens

    def _failure(self, error: Exception) -> Exception:
        """Whose fault an error is."""
        if isinstance(error, TimeoutError):
            seconds = self._configuration.timeout_seconds
            found: Exception = ServiceError(f"the model did not answer within {seconds:g} s")
        elif isinstance(error, UnexpectedModelBehavior | UsageLimitExceeded):
            found = Permanent(f"the model gave no output that fits: {type(error).__name__}")
        elif _refuses_the_value(error):
            found = Permanent(f"the model does not take the value: {_told(error)}")
        else:
            retry_after = getattr(error, "retry_after", None) or 0.0
            found = ServiceError(
                f"the provider of the model fails: {_told(error)}", retry_after=retry_after
            )
        if isinstance(found, Permanent):
            self._usage.refused += 1
        else:
            self._usage.outages += 1
        return found


def _log_no_request() -> None:
    """Keep the client from logging a line for each request, unless somebody has asked for them."""
    logger = logging.getLogger("httpx2")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


class _ProvidedModel(WrapperModel):
    """Tells a broken answer of the provider from a bad output of the model."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the provider.

        Raises:
            ServiceError: it answered with what is no completion.
        """
        try:
            return await super().request(messages, model_settings, model_request_parameters)
        except (ModelAPIError, OpenAIError, ContentFilterError):
            raise
        except Exception:  # noqa: BLE001 - what the library makes of a broken answer
            raise ServiceError(
                "the provider of the model answered with what is no completion"
            ) from None  # the error quotes the answer


def _check(context: RunContext[object], output: OutputT) -> OutputT:
    """Have the model correct an output that the agent refuses."""
    refusal = cast("Callable[[OutputT], str | None]", context.deps)
    why = refusal(output)
    if why is not None:
        raise ModelRetry(why)
    return output


def _refuses_the_value(error: Exception) -> bool:
    """Whether the provider refuses this request, and would take another one."""
    if isinstance(error, ModelAuthenticationError | ModelNotFoundError):
        return False
    if isinstance(error, ModelHTTPError):
        return refuses_the_request(error.status_code)
    return isinstance(error, ModelRequestRejectedError)


def _told(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    name = type(error).__name__.removeprefix("_HTTP")
    return name if status is None else f"status {status}"


def _settings(configuration: ModelConfiguration) -> ModelSettings:
    settings = ModelSettings(
        temperature=configuration.temperature, timeout=configuration.timeout_seconds
    )
    if configuration.max_output_tokens is not None:
        settings["max_tokens"] = configuration.max_output_tokens
    return settings


def _model(configuration: ModelConfiguration, client: AsyncOpenAI | None) -> Model:
    if client is None:
        return TestModel()
    return OpenAIChatModel(configuration.model, provider=OpenAIProvider(openai_client=client))


def _openai_client(configuration: ModelConfiguration) -> AsyncOpenAI:
    provider = configuration.provider
    return AsyncOpenAI(
        base_url=provider.base_url,
        api_key=_key(provider),
        timeout=configuration.timeout_seconds,
        max_retries=0,  # the policy of the stage retries, and its breaker sees each failure
    )


def _key(provider: Provider) -> str:
    variable = provider.key_from_environment
    if variable is None:
        return _WITHOUT_KEY
    try:
        key = secret_in(os.environ, variable)
    except ValueError as error:
        raise ConfigurationError(f"provider.key_from_environment: {error}") from None
    if not key:
        raise ConfigurationError(
            f"provider.key_from_environment: the variable {variable} is not set"
        )
    return key
