"""Finds what agents count of their language models."""

from collections.abc import Mapping
from typing import Any

from streamapp.observability.model_usage import ModelUsage
from streamapp.pipeline.agent import Agent, walk


def model_usages(agent: Agent[Any, Any], told: set[int]) -> Mapping[str, ModelUsage]:
    """What an agent and its parts have used, by the names of those that ask a model.

    Args:
        agent: the agent; what asks a model has the attribute `usage`, a `ModelUsage`.
        told: ids of those that were found before, which are left out: an object that several
            stages share counts for the first of them.
    """
    found: dict[str, ModelUsage] = {}
    for part in walk(agent):
        usage = getattr(part.function, "__dict__", {}).get("usage")
        if isinstance(usage, ModelUsage) and id(usage) not in told:
            told.add(id(usage))
            found[part.name] = usage
    return found
