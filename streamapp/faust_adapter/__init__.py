"""The Faust adapter: agents of Faust applications, with their tables, as stages."""

from streamapp.errors import ConfigurationError

try:
    from streamapp.faust_adapter.faust_agent import faust_agent
except ModuleNotFoundError as error:
    raise ConfigurationError(
        f"a stage of a Faust agent needs faust-streaming ({error}); install streamapp[faust]"
    ) from error

__all__ = ["faust_agent"]
