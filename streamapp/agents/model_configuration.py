"""How agents ask language models: model, provider, limits."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from streamapp.agents.configuration import AgentConfiguration
from streamapp.agents.http import checked_url


class Provider(AgentConfiguration):
    """Who has a model.

    Attributes:
        kind: `openai` for all that speak its protocol of chat completions; `test` answers by itself
            with something that fits the schema, and asks nobody.
        base_url: address of the protocol.
        key_from_environment: environment variable with the key; `null` for a provider without keys.
        calls_per_minute: most requests in any minute, of all agents of one worker with the same
            provider; any number by default.
        tokens_per_minute: most tokens of requests and answers in any minute, likewise. They are
            known after a call, so calls that run side by side may exceed it once.
        max_wait_seconds: longest wait for these limits; after it the call fails as the world's
            fault, and says when to try again.
    """

    kind: Literal["openai", "test"] = "openai"
    base_url: Annotated[str, AfterValidator(checked_url)] = "https://api.openai.com/v1"
    key_from_environment: str | None = "OPENAI_API_KEY"
    calls_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    max_wait_seconds: float = Field(default=10.0, ge=0)


class ModelConfiguration(AgentConfiguration):
    """What every agent with a model has in its configuration.

    Attributes:
        model: name of the model at its provider.
        temperature: how much answers vary.
        instructions: what the model is told to do; what records say does not change it.
        provider: who has the model.
        timeout_seconds: longest time of a call, its retries for bad outputs included.
        output_retries: how often the model may correct an output that does not fit.
        max_output_tokens: most tokens of an answer; as many as the model gives by default.
    """

    model: str = Field(min_length=1)
    temperature: float = Field(ge=0, le=2)
    instructions: str = Field(min_length=1)
    provider: Provider = Provider()
    timeout_seconds: float = Field(default=60.0, gt=0)
    output_retries: int = Field(default=2, ge=0)
    max_output_tokens: int | None = Field(default=None, ge=1)
