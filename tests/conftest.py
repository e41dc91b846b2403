"""Fixtures for every test: a real Kafka, started once per session by the first that asks."""

import os
from collections.abc import Iterator

import pytest

from streamapp.brokers.dev.errors import ToolMissingError
from tests.kafka import Kafka, running_kafka
from tests.prometheus import prometheus

__all__ = ["prometheus"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of this session's own; tests share it, so each takes topics of its own."""
    try:
        with running_kafka(tmp_path_factory.mktemp("kafka")) as running:
            yield running
    except ToolMissingError as error:
        without_kafka(str(error))


def without_kafka(reason: str) -> None:
    """Skip on a laptop; fail in CI, where a test that does not run is worth nothing."""
    sentence = f"Kafka tests need Java 17 and Maven: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
