"""Finds out why a connection fails; the client itself only reports that it does."""

import asyncio
import ssl
import struct
from collections.abc import Mapping
from typing import Any

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.protocol.metadata import MetadataRequest

from streamapp.brokers.kafka.failures import CLIENT_ERRORS, reason
from streamapp.brokers.kafka.oauth import NoTokenError, TokenSource
from streamapp.settings import KafkaSettings

# The connection has failed already: this only looks for the reason, at each server in turn.
_TIMEOUT_SECONDS = 3.0
# ApiVersions in its version 0, with the correlation id 1 and no client id: every broker answers it
# before it asks who is there.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
_ANSWER = struct.Struct(">ii")
_LONGEST_ANSWER = 1 << 20
_LOGIN_REFUSED = (
    "the broker refused the token of OAUTHBEARER: its log says why; look at the token's issuer,"
    " audience and lifetime"
)
_PROTOCOL = "STREAMAPP_KAFKA_SECURITY_PROTOCOL"


async def diagnose(
    settings: KafkaSettings, options: Mapping[str, Any], tokens: TokenSource | None
) -> str | None:
    """Say why these servers cannot be used, and what to do; `None` if one of them works.

    Args:
        settings: servers and security.
        options: how a connection of the client is made.
        tokens: where the tokens of OAUTHBEARER come from.
    """
    if tokens is not None:
        try:
            await tokens.token()
        except NoTokenError as error:
            return reason(error)
    causes = []
    for host, port, _ in collect_hosts(settings.servers):
        cause = await _failure(host, port, settings, options)
        if cause is None:
            return None
        causes.append(f"{host}:{port}: {cause}")
    return causes[0] if causes else None


async def _failure(
    host: str, port: int, settings: KafkaSettings, options: Mapping[str, Any]
) -> str | None:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            connection = await create_conn(host, port, **options)
    except ssl.SSLCertVerificationError as error:
        return reason(error)
    except SaslAuthenticationFailed as error:
        return _LOGIN_REFUSED if settings.sasl_mechanism == "OAUTHBEARER" else reason(error)
    except CLIENT_ERRORS as error:
        return await _mismatch(host, port, settings) or reason(error)
    return await _refusal(connection, settings)


async def _mismatch(host: str, port: int, settings: KafkaSettings) -> str | None:
    """Whether one side speaks TLS and the other does not."""
    own = f"{_PROTOCOL}={settings.security_protocol}"
    if settings.uses_tls and await _speaks_in_clear(host, port):
        return (
            f"this port does not speak TLS, as {own} does; give {_PROTOCOL} without SSL, or"
            " another port"
        )
    if not settings.uses_tls and await _speaks_tls(host, port):
        return f"this port speaks TLS, and {own} does not; set {_PROTOCOL} to SSL or SASL_SSL"
    return None


async def _refusal(connection: AIOKafkaConnection, settings: KafkaSettings) -> str | None:
    """Why a broker that has taken the connection answers no request; `None` if it does."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await connection.send(MetadataRequest([]))
    except CLIENT_ERRORS as error:
        if not settings.uses_sasl:
            own = f"{_PROTOCOL}={settings.security_protocol}"
            wanted = "SASL_SSL" if settings.uses_tls else "SASL_PLAINTEXT"
            return f"the broker wants its clients to log in, and {own} does not; use {wanted}"
        return reason(error)
    finally:
        connection.close()
    return None


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # nothing is told to it: only whether it answers
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def _speaks_in_clear(host: str, port: int) -> bool:
    writer = None
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(_API_VERSIONS)
            size, correlation_id = _ANSWER.unpack(await reader.readexactly(_ANSWER.size))
    except (OSError, TimeoutError, EOFError):
        return False
    finally:
        if writer is not None:
            writer.transport.abort()
    return bool(correlation_id == 1 and 0 < size < _LONGEST_ANSWER)
