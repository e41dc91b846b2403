"""The Faust adapter: agents of Faust applications, with their tables, as stages."""

from streamapp.faust_adapter.faust_agent import faust_agent

__all__ = ["faust_agent"]
