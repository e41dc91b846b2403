"""How the Kafka clients are set up; what they do is held by the contract suite."""

import logging
from collections.abc import Iterator
from typing import Any, Literal

import aiokafka.codec
import pytest
from aiokafka import errors as kafka_errors

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.kafka.failures import broker_error, topic_error
from streamapp.brokers.protocols import ConsumerConfig
from streamapp.errors import BrokerError, ConfigurationError, TopicError
from streamapp.record import TopicPartition
from streamapp.settings import KafkaSettings


class Silent:
    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        pass

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        pass


@pytest.fixture
def client_loggers() -> Iterator[list[logging.Logger]]:
    """Loggers of the client, with their levels put back at the end."""
    loggers = [logging.getLogger(name) for name in ("aiokafka", "aiokafka.producer.producer")]
    levels = [logger.level for logger in loggers]
    yield loggers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_the_client_logs_no_payload_even_when_everything_is_logged(
    client_loggers: list[logging.Logger],
) -> None:
    for logger in client_loggers:
        logger.setLevel(logging.DEBUG)
    KafkaBroker(KafkaSettings(bootstrap_servers="h:1"))
    assert not any(logger.isEnabledFor(logging.DEBUG) for logger in client_loggers)
    assert logging.getLogger("aiokafka.conn").getEffectiveLevel() >= logging.INFO


def test_a_level_that_is_higher_already_stays(client_loggers: list[logging.Logger]) -> None:
    for logger in client_loggers:
        logger.setLevel(logging.ERROR)
    KafkaBroker(KafkaSettings(bootstrap_servers="h:1"))
    assert [logger.level for logger in client_loggers] == [logging.ERROR] * 2


async def options_of(partitions: int, **config: Any) -> Any:
    broker = KafkaBroker(KafkaSettings(bootstrap_servers="h:1"))
    consumer = broker.consumer(ConsumerConfig("g", ("t",), **config), Silent())
    client = consumer._make_client(partitions)
    await client.stop()
    return client


@pytest.mark.parametrize(
    ("bound", "partitions", "share"),
    [(8 << 20, 1, 1 << 20), (8 << 20, 32, 256 << 10), (1 << 20, 1000, 16 << 10)],
)
async def test_prefetch_is_split_among_the_partitions(
    bound: int, partitions: int, share: int
) -> None:
    client = await options_of(partitions, max_prefetch_bytes=bound)
    assert client._max_partition_fetch_bytes == share
    assert client._fetch_max_bytes == bound


async def test_nothing_is_committed_or_reset_behind_our_back() -> None:
    client = await options_of(1)
    assert client._enable_auto_commit is False
    assert client._auto_offset_reset == "none"
    assert client._isolation_level == "read_committed"


async def test_the_rebalance_timeout_is_given_to_the_group_and_to_its_requests() -> None:
    client = await options_of(1, rebalance_timeout_seconds=120)
    assert client._rebalance_timeout_ms == 120_000
    assert client._request_timeout_ms > 120_000


def test_an_error_of_the_client_says_what_failed_where_and_what_to_do() -> None:
    error = broker_error(kafka_errors.TopicAuthorizationFailedError("t"), "fetching", "h:1")
    assert isinstance(error, BrokerError)
    assert str(error) == (
        "fetching failed at h:1: [Error 29] TopicAuthorizationFailedError: t; "
        "give the user the ACL it lacks"
    )


def test_the_fault_of_a_topic_is_told_from_that_of_the_broker() -> None:
    wrong = topic_error("t", kafka_errors.InvalidConfigurationError(), "Unknown config")
    assert isinstance(wrong, TopicError)
    assert str(wrong) == "topic 't': Unknown config"
    assert isinstance(topic_error("t", kafka_errors.RequestTimedOutError(), None), BrokerError)


@pytest.mark.parametrize("codec", ["snappy", "lz4", "zstd"])
def test_a_codec_without_its_library_ends_at_the_start_and_names_the_package(
    codec: Literal["snappy", "lz4", "zstd"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMAPP_KAFKA_COMPRESSION", codec)
    assert KafkaBroker(KafkaSettings()).compression == codec
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    with pytest.raises(ConfigurationError, match=f"COMPRESSION={codec} .* install cramjam"):
        KafkaBroker(KafkaSettings())
    assert KafkaBroker(KafkaSettings(compression="gzip")).compression == "gzip"
    assert KafkaBroker(KafkaSettings(compression="none")).compression is None
