import logging

import pytest

from streamapp.errors import BrokerError
from streamapp.observability.outage_filter import OutageFilter


class KafkaConnectionError(Exception):
    pass


@pytest.fixture
def outages() -> OutageFilter:
    return OutageFilter()


def passes(
    outages: OutageFilter, name: str, msg: str, *args: object, level: int = 30, **extra: object
) -> bool:
    line = {"name": name, "msg": msg, "args": args, "levelno": level, **extra}
    return bool(outages.filter(logging.makeLogRecord(line)))


@pytest.mark.parametrize(
    ("msg", "args"),
    [
        ("Unable connect to node with id %s: %s", (1, "x")),
        ("Failed fetch messages from %s: %s", (1, KafkaConnectionError("closed"))),
        ("Heartbeat send request failed: %s. Will retry.", (ConnectionResetError(),)),
    ],
)
def test_what_a_client_says_of_a_lost_connection_is_never_written(
    outages: OutageFilter, msg: str, args: tuple[object, ...]
) -> None:
    assert not passes(outages, "aiokafka.client", msg, *args, level=logging.ERROR)


def test_what_is_said_only_because_of_an_outage_is_left_out_until_it_ends(
    outages: OutageFilter,
) -> None:
    def written() -> list[bool]:
        return [
            passes(outages, "aiokafka.consumer", "Topic %s is not available", "a"),
            passes(outages, "streamapp.x", "fetching failed: %s", BrokerError("away")),
            passes(outages, "streamapp.x", "the stage has ended: %s", BrokerError("x"), level=40),
            passes(outages, "streamapp.x", "stage %s holds its records", "a"),
        ]

    assert written() == [True] * 4
    assert passes(outages, "streamapp.reach", "cannot be reached", outage="begins")
    assert written() == [False, False, True, True]
    assert passes(outages, "streamapp.reach", "answers again", outage="ends")
    assert written() == [True] * 4


@pytest.mark.parametrize("name", ["shop.agent", "kafka.orders", "aiokafka_shop", "streamapp_shop"])
@pytest.mark.parametrize(
    ("msg", "error"),
    [
        ("the bank does not answer: %r", TimeoutError()),
        ("Unable connect to the bank: %s", ConnectionResetError()),
        ("orders are not written: %s", BrokerError("away")),
        ("orders are not written: %s", KafkaConnectionError("closed")),
    ],
)
def test_lines_of_all_others_are_written_whatever_they_are_about(
    outages: OutageFilter, name: str, msg: str, error: Exception
) -> None:
    passes(outages, "streamapp.reach", "cannot be reached", outage="begins")
    assert passes(outages, name, msg, error)


def test_only_ours_can_say_that_an_outage_is_over(outages: OutageFilter) -> None:
    passes(outages, "streamapp.reach", "cannot be reached", outage="begins")
    assert passes(outages, "shop.agent", "the bank answers", outage="ends")
    assert not passes(outages, "aiokafka.consumer", "Topic %s is not available", "a")
