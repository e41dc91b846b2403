"""Fixtures for every test: a real Kafka, started once per session by the first that asks."""

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import Phase, settings
from hypothesis.internal.conjecture import engine

from streamapp.local_kafka.config import BrokerOptions
from streamapp.local_kafka.errors import ToolMissingError
from streamapp.local_kafka.jars import default_cache_dir, jars_folder
from streamapp.local_kafka.java import find_java, find_maven
from streamapp.native_leaves import SELECTED
from tests.idle import SkippingLoop, waits_skipped
from tests.kafka import Kafka, running_kafka
from tests.log import unchanged_log
from tests.project import project
from tests.prometheus import prometheus

__all__ = ["project", "prometheus"]

OF_NATIVE_LEAVES = ["unit/runtime/test_native_outputs.py", "performance/test_native_cost.py"]
collect_ignore = [] if SELECTED.is_native else OF_NATIVE_LEAVES
"""What compares the native leaves with their twins or counts what they do: CI installs both."""

_DAY_MS = str(24 * 3600 * 1000)
NEVER_DELETES = {
    "log.initial.task.delay.ms": _DAY_MS,
    "log.retention.check.interval.ms": _DAY_MS,
}
"""Tests write records dated years ago; the broker's check of retention would delete them."""

MAX_SHRINKING_SECONDS = 5
"""A property that fails says so soon, with a counterexample as small as was found by then."""

assert engine.MAX_SHRINKING_SECONDS >= MAX_SHRINKING_SECONDS  # hypothesis has no setting for it
engine.MAX_SHRINKING_SECONDS = MAX_SHRINKING_SECONDS
settings.register_profile(
    "streamapp",
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
)
settings.load_profile("streamapp")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
        if item.get_closest_marker("faults"):
            continue
        if item.get_closest_marker("kafka") or "integration" in item.path.parts:
            item.add_marker(pytest.mark.server)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without Java or Maven, tests marked `kafka` skip on a laptop and fail in CI; so do others.

    Here and not in a fixture, so that pytest folds all of them into one line.
    """
    missing = missing_tool() if item.get_closest_marker("kafka") else None
    if item.get_closest_marker("ai") and find_spec("pydantic_ai") is None:
        missing = "Tests of language models need pydantic-ai: make install"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)


@cache
def missing_tool() -> str | None:
    """What has to be installed before Kafka runs here; `None` when nothing is missing."""
    try:
        find_java()
        if not jars_folder(default_cache_dir()).is_dir():
            find_maven()
    except ToolMissingError as error:
        return f"Kafka tests need Java and Maven. {error}"
    return None


@pytest.fixture(autouse=True)
def log_left_as_found() -> Iterator[None]:
    """Whatever a test does to the log of the process, the next one begins without it."""
    with unchanged_log():
        yield


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of this session's own; tests share it, so each takes topics of its own."""
    options = BrokerOptions(properties=NEVER_DELETES)
    with running_kafka(tmp_path_factory.mktemp("kafka"), options) as running:
        yield running


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Code of the package that blocks the event loop fails the test."""
    # The development broker is for commands and fixtures: it waits for processes.
    with blockbuster_ctx("streamapp", excluded_modules=["streamapp.local_kafka"]):
        yield


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"skipping": SkippingLoop}


@pytest.fixture(autouse=True)
def no_idle_waits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests that run in one process do not sit out its timers."""
    in_one_process = {"unit", "contract"}.intersection(request.node.path.parts)
    # What asks language models has threads of its own, of which the loop knows nothing.
    waits_for_others = any(map(request.node.get_closest_marker, ("kafka", "ai")))
    if in_one_process and not waits_for_others:
        with waits_skipped():
            yield
    else:
        yield
