"""How Kafka clients connect: their common options, and the deadlines of their start and stop."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.helpers import create_ssl_context
from aiokafka.structs import TopicPartition as KafkaTopicPartition

from streamapp.brokers.kafka.diagnosis import diagnose
from streamapp.brokers.kafka.failures import CLIENT_ERRORS, reason
from streamapp.brokers.kafka.forced_close import force_close
from streamapp.brokers.kafka.oauth import Tokens, token_source
from streamapp.brokers.kafka.reach import Reach
from streamapp.brokers.kafka.reconnects import bound_reconnects
from streamapp.errors import BrokerError, ConfigurationError
from streamapp.record import TopicPartition
from streamapp.settings import KafkaSettings

_logger = logging.getLogger(__name__)

# Clients learn of new partitions within this time, and a rebalance follows; Kafka's default is five
# minutes.
_METADATA_MAX_AGE_MS = 20_000
# A cancelled `stop` that does not end by then is left to `force_close`.
_CANCEL_SECONDS = 1.0


class Connection:
    """Options of all clients of one cluster; starts and stops them within deadlines.

    Attributes:
        settings: servers, security and deadlines.
        address: the bootstrap servers, for error messages.

    Raises:
        ConfigurationError: a certificate or key cannot be used.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.address = ",".join(settings.servers)
        self._reach = Reach(self.address)
        self._tokens = token_source(settings)
        self._ssl_context = _ssl_context(settings) if settings.uses_tls else None

    def options(self) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes."""
        return {
            **self._security(),
            "bootstrap_servers": self.settings.servers,
            "metadata_max_age_ms": _METADATA_MAX_AGE_MS,
        }

    async def start(
        self,
        start: Callable[[], Awaitable[object]],
        stop: Callable[[], Awaitable[object]],
        owners: tuple[object, ...],
    ) -> None:
        """Start a client within the deadline; if that fails, stop it.

        Args:
            start: starts the client.
            stop: stops it.
            owners: the client objects, for a close by force.

        Raises:
            BrokerError: Kafka cannot be reached or refuses the connection; says why.
        """
        bound_reconnects(*owners, reach=self._reach)
        timeout_seconds = self.settings.connect_timeout_seconds
        try:
            async with asyncio.timeout(timeout_seconds):
                await start()
        except CLIENT_ERRORS as error:
            await self.stop(stop, owners)
            why = await self._why() or reason(error)
            raise BrokerError(f"cannot connect to Kafka at {self.address}: {why}") from error
        except BaseException:
            await self.stop(stop, owners)
            raise

    async def stop(self, stop: Callable[[], Awaitable[object]], owners: tuple[object, ...]) -> None:
        """Stop a client within the deadline; after that, close what is left of it by force."""
        # In a task of its own, because the client's `stop` raises `CancelledError` when one of the
        # client's background tasks was cancelled.
        stopping = asyncio.ensure_future(stop())
        try:
            await asyncio.wait({stopping}, timeout=self.settings.stop_timeout_seconds)
            if not stopping.done():
                _logger.warning(
                    "a Kafka client did not stop within %s seconds and is closed by force",
                    self.settings.stop_timeout_seconds,
                )
            elif not stopping.cancelled() and (error := stopping.exception()) is not None:
                _logger.warning("a Kafka client stopped with an error: %s", reason(error))
        finally:
            stopping.cancel()
            await asyncio.wait({stopping}, timeout=_CANCEL_SECONDS)
            await force_close(*owners)

    async def _why(self) -> str | None:
        return await diagnose(self.settings, self._security(), self._tokens)

    def _security(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "security_protocol": settings.security_protocol,
            "ssl_context": self._ssl_context,
            "sasl_mechanism": settings.sasl_mechanism or "PLAIN",
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.password and settings.password.get_secret_value(),
            "sasl_oauth_token_provider": self._tokens and Tokens(self._tokens),
        }


def kafka_partition(partition: TopicPartition) -> KafkaTopicPartition:
    """A partition as the client's own type, which the client insists on."""
    return KafkaTopicPartition(partition.topic, partition.partition)


def cap_client_logging() -> None:
    """Keep the client's loggers above DEBUG, where it logs keys, values and credentials."""
    for name in ["aiokafka", *logging.root.manager.loggerDict]:
        if name == "aiokafka" or name.startswith("aiokafka."):
            logger = logging.getLogger(name)
            if name == "aiokafka" or logger.level:
                logger.setLevel(max(logger.level, logging.INFO))


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    password = settings.ssl_key_password
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=settings.ssl_cafile,
            certfile=settings.ssl_certfile,
            keyfile=settings.ssl_keyfile,
            password=password.get_secret_value() if password else _no_password,
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "the files named by STREAMAPP_KAFKA_SSL_CAFILE, _SSL_CERTFILE and _SSL_KEYFILE cannot "
            f"be used with STREAMAPP_KAFKA_SSL_KEY_PASSWORD: {error}"
        ) from error
    return context


def _no_password() -> str:
    """An empty password: without any, OpenSSL asks for one on the terminal."""
    return ""
