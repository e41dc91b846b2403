"""TLS and SASL against a real broker, and what a user reads when they are wrong."""

import asyncio
import base64
import gc
import json
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import ConsumerConfig, ProducerConfig, TopicSpec
from streamapp.cli.exit_codes import ExitCode
from streamapp.errors import BrokerError, ConfigurationError
from streamapp.local_kafka.config import BrokerOptions
from streamapp.settings import KafkaSettings
from tests.cli import streamapp
from tests.contract.harness import Listener, read_values, send
from tests.kafka import running_kafka, unique_name
from tests.token_provider import Provider, listening

pytestmark = pytest.mark.kafka

PIPELINE = "streamapp.examples.playback.pipeline:pipeline"
USER, HUSH = "ann", "hush-hush"
KEYSTORE_HUSH = "of-the-keystore"
JAAS = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{HUSH}";'

# The broker takes tokens that nobody has signed, as it does where no issuer is named.
OAUTH_JAAS = (
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
    ' unsecuredLoginStringClaim_sub="broker";'
)
SCRAM_JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True, slots=True)
class SecureKafka:
    """A broker with a listener for each way in, and the certificate that it shows."""

    sasl: str
    tls: str
    both: str
    clear: str
    cafile: Path


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    folder = tmp_path_factory.mktemp("secure")
    keystore, cafile = folder / "keystore.p12", folder / "ca.pem"
    make_certificate(keystore, cafile)
    properties = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,OAUTHBEARER",
        "listener.name.login.plain.sasl.jaas.config": JAAS,
        "listener.name.both.plain.sasl.jaas.config": JAAS,
        "listener.name.login.scram-sha-256.sasl.jaas.config": SCRAM_JAAS,
        "listener.name.both.scram-sha-256.sasl.jaas.config": SCRAM_JAAS,
        "listener.name.login.oauthbearer.sasl.jaas.config": OAUTH_JAAS,
        "listener.name.both.oauthbearer.sasl.jaas.config": OAUTH_JAAS,
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(keystore),
        "ssl.keystore.password": KEYSTORE_HUSH,
    }
    listeners = {"LOGIN": "SASL_PLAINTEXT", "TLS": "SSL", "BOTH": "SASL_SSL"}
    options = BrokerOptions(properties=properties, listeners=listeners, scram_users={USER: HUSH})
    with running_kafka(folder / "broker", options) as kafka:
        addresses = kafka.listeners
        clear = kafka.bootstrap_servers
        yield SecureKafka(addresses["LOGIN"], addresses["TLS"], addresses["BOTH"], clear, cafile)


def make_certificate(keystore: Path, cafile: Path) -> None:
    """A key for 127.0.0.1 with a certificate of its own authority."""
    store = ["-keystore", str(keystore), "-storepass", KEYSTORE_HUSH, "-alias", "broker"]
    generate = ["-genkeypair", "-keyalg", "RSA", "-storetype", "PKCS12", "-validity", "2"]
    name = ["-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1"]
    subprocess.run(["keytool", *generate, *store, *name], check=True, capture_output=True)  # noqa: S603, S607 - our own arguments; Java says where it lies
    export = ["-exportcert", "-rfc", "-file", str(cafile)]
    subprocess.run(["keytool", *export, *store], check=True, capture_output=True)  # noqa: S603, S607 - the same


def settings(kafka: SecureKafka, way: str, **changes: object) -> KafkaSettings:
    sasl = {"sasl_mechanism": "PLAIN", "username": USER, "password": HUSH}
    values: dict[str, dict[str, object]] = {
        "sasl": {
            **sasl,
            "bootstrap_servers": kafka.sasl,
            "security_protocol": "SASL_PLAINTEXT",
            "allow_plain_without_tls": True,
        },
        "tls": {
            "bootstrap_servers": kafka.tls,
            "security_protocol": "SSL",
            "ssl_cafile": kafka.cafile,
        },
        "scram": {
            **sasl,
            "bootstrap_servers": kafka.sasl,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-256",
        },
        "scram over tls": {
            **sasl,
            "bootstrap_servers": kafka.both,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-256",
            "ssl_cafile": kafka.cafile,
        },
        "both": {
            **sasl,
            "bootstrap_servers": kafka.both,
            "security_protocol": "SASL_SSL",
            "ssl_cafile": kafka.cafile,
        },
    }
    return KafkaSettings(**{**values[way], **changes})


def unsigned_token(seconds: int = 3600) -> str:
    """A token of OAUTHBEARER for so long from now on."""
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": USER, "iat": now - 7200, "exp": now + seconds})
    texts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return ".".join(text.decode() for text in texts) + "."


async def with_token(kafka: SecureKafka, folder: Path, token: str) -> KafkaBroker:
    """A broker whose clients read this token from a file."""
    file = folder / "token"
    file.write_text(f"{token}\n")
    return await connected(
        kafka,
        "both",
        sasl_mechanism="OAUTHBEARER",
        username=None,
        password=None,
        oauth_token_file=file,
    )


async def connected(kafka: SecureKafka, way: str, **changes: object) -> KafkaBroker:
    """A broker with these settings; certificates are files, so not on the event loop."""
    return await asyncio.to_thread(lambda: KafkaBroker(settings(kafka, way, **changes)))


async def refusal(broker: KafkaBroker) -> str:
    admin = broker.admin()
    with pytest.raises(BrokerError) as caught:
        await admin.start()
    await admin.stop()
    message = str(caught.value)
    del caught
    with warnings.catch_warnings():
        # aiokafka 0.14 leaves the socket of a refused login to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return message


@pytest.mark.parametrize("way", ["sasl", "tls", "both", "scram", "scram over tls"])
async def test_records_go_through_every_way_in(secure: SecureKafka, way: str) -> None:
    await send_through(await connected(secure, way))


async def test_records_go_through_with_a_token_of_a_file(
    secure: SecureKafka, tmp_path: Path
) -> None:
    await send_through(await with_token(secure, tmp_path, unsigned_token()))


async def test_records_go_through_with_a_token_for_client_credentials(secure: SecureKafka) -> None:
    provider = Provider(make=lambda _: unsigned_token())
    async with listening(provider) as url:
        broker = await connected(
            secure,
            "both",
            sasl_mechanism="OAUTHBEARER",
            username=None,
            password=None,
            oauth_token_url=url,
            oauth_client_id=USER,
            oauth_client_secret=HUSH,
        )
        await send_through(broker)
    assert len(provider.requests) == 1


async def send_through(broker: KafkaBroker) -> None:
    """Create a topic, send a record to it, and read it."""
    topic = unique_name("secure")
    admin, producer = broker.admin(), broker.producer(ProducerConfig())
    consumer = broker.consumer(ConsumerConfig(unique_name("group"), (topic,)), Listener())
    try:
        await admin.start()
        await admin.create_topics([TopicSpec(topic, 1)])
        await producer.start()
        await send(producer, topic, [b"through"])
        await consumer.start()
        assert await read_values(consumer, 1) == [b"through"]
    finally:
        for client in (consumer, producer, admin):
            await client.stop()


@pytest.mark.parametrize("way", ["sasl", "both", "scram"])
async def test_a_wrong_password_is_one_clear_error_without_it(
    secure: SecureKafka, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = await connected(secure, way, password="guessed-wrong")  # noqa: S106 - the point of the test
    with caplog.at_level("DEBUG"):
        message = await refusal(wrong)
    assert (secure.both if way == "both" else secure.sasl) in message
    assert "SaslAuthenticationFailed" in message
    assert "check STREAMAPP_KAFKA_USERNAME, _PASSWORD and _SASL_MECHANISM" in message
    assert "guessed-wrong" not in message + caplog.text


async def test_a_mechanism_that_the_broker_does_not_offer_is_named(secure: SecureKafka) -> None:
    message = await refusal(await connected(secure, "both", sasl_mechanism="SCRAM-SHA-512"))
    assert "_SASL_MECHANISM" in message


async def test_a_certificate_of_an_unknown_authority_is_refused(secure: SecureKafka) -> None:
    message = await refusal(await connected(secure, "tls", ssl_cafile=None))
    assert "certificate verify failed" in message


@pytest.mark.parametrize(
    ("way", "other", "told"),
    [
        ("tls", "clear", "this port does not speak TLS, as STREAMAPP_KAFKA_SECURITY_PROTOCOL=SSL"),
        ("both", "sasl", "this port does not speak TLS, as STREAMAPP_KAFKA_SECURITY_PROTOCOL=SASL"),
        ("sasl", "both", "this port speaks TLS, and STREAMAPP_KAFKA_SECURITY_PROTOCOL=SASL_PLAIN"),
        ("tls", "both", "wants its clients to log in, and STREAMAPP_KAFKA_SECURITY_PROTOCOL=SSL"),
    ],
)
async def test_a_client_at_the_port_of_another_protocol_is_told_so(
    secure: SecureKafka, way: str, other: str, told: str
) -> None:
    servers = getattr(secure, other)
    message = await refusal(await connected(secure, way, bootstrap_servers=servers))
    assert servers in message
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("port", "told"),
    [
        ("tls", "this port speaks TLS, and STREAMAPP_KAFKA_SECURITY_PROTOCOL=PLAINTEXT does not"),
        ("sasl", "wants its clients to log in, and STREAMAPP_KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
    ],
)
async def test_a_client_without_any_security_is_told_what_the_port_wants(
    secure: SecureKafka, port: str, told: str
) -> None:
    assert told in await refusal(
        KafkaBroker(KafkaSettings(bootstrap_servers=getattr(secure, port)))
    )


async def test_a_token_that_the_broker_refuses_is_one_clear_error_without_it(
    secure: SecureKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = unsigned_token(seconds=-3600)
    with caplog.at_level("DEBUG"):
        message = await refusal(await with_token(secure, tmp_path, token))
    assert "the broker refused the token of OAUTHBEARER" in message
    assert token not in message + caplog.text


async def test_a_token_file_that_is_gone_is_one_clear_error(
    secure: SecureKafka, tmp_path: Path
) -> None:
    broker = await with_token(secure, tmp_path, unsigned_token())
    (tmp_path / "token").unlink()
    assert "STREAMAPP_KAFKA_OAUTH_TOKEN_FILE names a file that cannot be read" in (
        await refusal(broker)
    )


@pytest.mark.parametrize("command", [("topics", "list"), ("run", PIPELINE, "--no-web")])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"password": "guessed-wrong"}, "check STREAMAPP_KAFKA_USERNAME, _PASSWORD and"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "this port speaks TLS"),
        ({"bootstrap_servers": "clear"}, "this port does not speak TLS"),
    ],
    ids=["password", "in clear", "with TLS"],
)
def test_a_command_that_may_not_connect_ends_with_one_sentence(
    secure: SecureKafka,
    command: tuple[str, ...],
    changes: dict[str, str],
    told: str,
    tmp_path: Path,
) -> None:
    values = {
        "bootstrap_servers": secure.both,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "username": USER,
        "password": HUSH,
        "ssl_cafile": str(secure.cafile),
        **changes,
    }
    if values["bootstrap_servers"] == "clear":
        values["bootstrap_servers"] = secure.clear
    if values["security_protocol"] == "SASL_PLAINTEXT":
        del values["ssl_cafile"]
    env = {f"STREAMAPP_KAFKA_{name.upper()}": value for name, value in values.items()}
    done = streamapp(*command, env=env | {"STREAMAPP_STATE_FOLDER": str(tmp_path)})
    assert done.returncode == ExitCode.BROKER_UNREACHABLE
    [line] = done.stderr.splitlines()
    assert line.startswith(f"streamapp: cannot connect to Kafka at {values['bootstrap_servers']}")
    assert told in line
    assert values["password"] not in done.stdout + done.stderr


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    cafile = tmp_path / "ca.pem"
    cafile.write_text("no certificate")
    with pytest.raises(ConfigurationError, match="STREAMAPP_KAFKA_SSL_CAFILE"):
        KafkaBroker(KafkaSettings(security_protocol="SSL", ssl_cafile=cafile))


LOUD = """
import logging
from streamapp import Pipeline, Topic, agent

for name in ("aiokafka", "aiokafka.conn", "aiokafka.client", "aiokafka.sasl"):
    logging.getLogger(name).setLevel(logging.DEBUG)

@agent
def same(value: dict) -> dict:
    return value

pipeline = Pipeline("loud", source=Topic("loud.raw", dict)).stage(same).sink("loud.out")
"""


@pytest.mark.parametrize("is_right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "OAUTHBEARER"])
def test_a_run_at_debug_tells_no_password_and_no_token(
    secure: SecureKafka, mechanism: str, is_right: bool, tmp_path: Path
) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    secret = HUSH if is_right else "guessed-wrong"
    env = {
        "STREAMAPP_KAFKA_BOOTSTRAP_SERVERS": secure.sasl,
        "STREAMAPP_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "STREAMAPP_KAFKA_SASL_MECHANISM": mechanism,
        "STREAMAPP_KAFKA_ALLOW_PLAIN_WITHOUT_TLS": "true",
    }
    if mechanism == "PLAIN":
        env |= {"STREAMAPP_KAFKA_USERNAME": USER, "STREAMAPP_KAFKA_PASSWORD": secret}
    else:
        secret = unsigned_token(3600 if is_right else -3600)
        (tmp_path / "token").write_text(secret)
        env["STREAMAPP_KAFKA_OAUTH_TOKEN_FILE"] = str(tmp_path / "token")
    run = ("run", "loud:pipeline", "--until-end", "--no-web", "--log-level", "DEBUG")
    done = [
        streamapp(*command, cwd=tmp_path, env=env)
        for command in [("topics", "apply", "loud:pipeline"), run]
    ]
    assert [one.returncode for one in done] == ([0, 0] if is_right else [4, 4]), done
    written = "".join(one.stdout + one.stderr for one in done)
    assert secret not in written
    assert base64.b64encode(secret.encode()).decode() not in written
