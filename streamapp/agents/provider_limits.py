"""What all agents of a worker together may ask of a provider."""

import asyncio
from weakref import WeakKeyDictionary

from streamapp.agents.model_configuration import Provider
from streamapp.agents.per_minute import PerMinute
from streamapp.clock import current_clock
from streamapp.errors import ServiceError


class ProviderLimits:
    """Lets calls to a provider begin one after the other, as its limits of a minute allow.

    Args:
        provider: has the limits.
    """

    def __init__(self, provider: Provider) -> None:
        self._calls = PerMinute(provider.calls_per_minute)
        self._tokens = PerMinute(provider.tokens_per_minute)
        self._max_wait_seconds = provider.max_wait_seconds
        self._turn = asyncio.Lock()

    async def wait_for_turn(self) -> None:
        """Wait until a call may begin, and count it.

        Raises:
            ServiceError: it would take too long.
        """
        clock = current_clock()
        async with self._turn:
            now = clock.monotonic()
            seconds = max(self._calls.wait_seconds(now), self._tokens.wait_seconds(now))
            if seconds > self._max_wait_seconds:
                raise ServiceError(
                    f"the limit of the provider leaves no call for {seconds:.0f} s",
                    retry_after=seconds,
                )
            if seconds:
                await clock.sleep(seconds)
            self._calls.count(1, clock.monotonic())

    def count(self, further_calls: int, tokens: int) -> None:
        """Count what a call has used besides: requests after the first, and tokens."""
        now = current_clock().monotonic()
        self._calls.count(further_calls, now)
        self._tokens.count(tokens, now)


_LIMITS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Provider, ProviderLimits]] = (
    WeakKeyDictionary()
)


def limits_of(provider: Provider) -> ProviderLimits:
    """The limits of a provider, the same for all agents of the running event loop."""
    own = _LIMITS.setdefault(asyncio.get_running_loop(), {})
    limits = own.get(provider)
    if limits is None:
        limits = own[provider] = ProviderLimits(provider)
    return limits
