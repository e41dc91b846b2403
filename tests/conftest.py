"""Fixtures for every test: a real Kafka, started once per session by the first that asks."""

import os
from collections.abc import Iterator

import pytest

from streamapp.brokers.dev.errors import ToolMissingError
from streamapp.brokers.dev.jars import default_cache_dir, jars_folder
from streamapp.brokers.dev.java import find_java, find_maven
from tests.kafka import Kafka, running_kafka
from tests.prometheus import prometheus

__all__ = ["prometheus"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka_tools" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka_tools() -> None:
    """Java and Maven are there: without them skip on a laptop, fail in CI."""
    try:
        find_java()
        if not jars_folder(default_cache_dir()).is_dir():
            find_maven()
    except ToolMissingError as error:
        sentence = f"Kafka tests need Java and Maven. {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)


@pytest.fixture(scope="session")
def kafka(kafka_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:  # noqa: ARG001 - asked for its skip
    """A broker of this session's own; tests share it, so each takes topics of its own."""
    with running_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running
