import logging

import pytest

from streamapp.brokers.kafka.reach import Reach


@pytest.fixture
def reach() -> Reach:
    return Reach("kafka:9092")


def test_an_outage_is_two_sentences_however_many_connects_fail(
    reach: Reach, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(70):
        reach.failed(1, 100.0 + second, is_cut_off=True)
    reach.succeeded(1, 170.0)
    reach.succeeded(1, 171.0)
    assert [(line.levelno, line.getMessage()) for line in caplog.records] == [
        (logging.ERROR, "Kafka at kafka:9092 cannot be reached; connecting again until it answers"),
        (logging.ERROR, "Kafka at kafka:9092 answers again after 70 s"),
    ]
    assert [vars(line)["outage"] for line in caplog.records] == ["begins", "ends"]


def test_a_node_that_is_away_while_others_answer_is_no_outage(
    reach: Reach, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(3):
        reach.failed(2, float(second), is_cut_off=False)
    assert [line.getMessage() for line in caplog.records] == [
        "node 2 of Kafka at kafka:9092 cannot be reached"
    ]
    reach.succeeded(2, 4.0)
    reach.failed(2, 5.0, is_cut_off=False)
    assert len(caplog.records) == 2
