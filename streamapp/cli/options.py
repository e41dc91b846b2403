"""Options that several commands share, and what becomes of them."""

from typing import Annotated

import typer

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.errors import ConfigurationError
from streamapp.observability.logs import LogFormat
from streamapp.settings import KafkaSettings

BootstrapServersOption = Annotated[
    str | None,
    typer.Option(
        help="Kafka's address as host:port, several separated by commas."
        " By default STREAMAPP_KAFKA_BOOTSTRAP_SERVERS, else 127.0.0.1:9092.",
    ),
]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:PIPELINE",
        help="A Pipeline, or a function that returns one, such as my_module:pipeline.",
    ),
]
LogLevelOption = Annotated[
    str, typer.Option(help="DEBUG, INFO, WARNING, ERROR or CRITICAL; logs go to stderr.")
]
LogFormatOption = Annotated[LogFormat, typer.Option(help="How log lines are written.")]
ProgressSecondsOption = Annotated[
    float,
    typer.Option(min=0.1, help="Seconds between lines of progress where there is no terminal."),
]


def kafka_broker(bootstrap_servers: str | None) -> KafkaBroker:
    """The Kafka that the environment describes, at these servers if any are given.

    Raises:
        ConfigurationError: the address or a setting is wrong.
    """
    if bootstrap_servers is None:
        return KafkaBroker(KafkaSettings())
    if not bootstrap_servers.strip():
        raise ConfigurationError("--bootstrap-servers is empty; give host:port")
    try:
        settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    except ConfigurationError as error:
        sentence = str(error).replace("STREAMAPP_KAFKA_BOOTSTRAP_SERVERS", "--bootstrap-servers")
        raise ConfigurationError(sentence) from None
    return KafkaBroker(settings)
