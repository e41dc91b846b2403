import io
import logging
from collections.abc import Iterator

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from streamapp.errors import ConfigurationError
from streamapp.observability.logs import (
    CLIENT_LOGGERS,
    LogFormat,
    RepeatFilter,
    configure_logging,
    describe_exception,
)

PAYLOAD = "4111-1111"


class Card(BaseModel):
    number: int


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    clients = {name: logging.getLogger(name).level for name in CLIENT_LOGGERS}
    for handler in before[1]:
        root.removeHandler(handler)  # basicConfig(force=True) would close pytest's
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name, level in clients.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def _log_a_validation_error() -> None:
    try:
        try:
            Card.model_validate_json(b'{"number": "%s"}' % PAYLOAD.encode())
        except ValidationError as error:
            raise RuntimeError("stage failed") from error
    except RuntimeError:
        logging.getLogger("streamapp.test").exception("record failed")


def test_a_plain_line_has_time_level_logger_text_and_extras(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    logging.getLogger("streamapp.test").info("started %s", "x", extra={"stage": "validate"})
    assert stream.getvalue()[24:] == " INFO streamapp.test started x stage=validate\n", (
        stream.getvalue()
    )
    assert stream.getvalue()[23] == "Z"


def test_a_line_break_in_a_value_does_not_make_a_second_line(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    logging.getLogger("streamapp.test").info("topic %s", "a\n2000-01-01 CRITICAL forged")
    assert stream.getvalue().count("\n") == 1


def test_a_json_line_is_one_object(stream: io.StringIO) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    logging.getLogger("streamapp.test").warning(
        "held %d", 3, extra={"stage": "validate", "level": "not ours"}
    )
    line = orjson.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "streamapp.test",
        "text": "held 3",
        "stage": "validate",
    }


def test_an_extra_that_json_does_not_know_is_written_as_text(stream: io.StringIO) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    logging.getLogger("streamapp.test").info("x", extra={"what": object})
    assert orjson.loads(stream.getvalue())["what"] == "<class 'object'>"


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_the_input_of_a_validation_error_is_never_written(
    stream: io.StringIO, log_format: LogFormat
) -> None:
    configure_logging(log_format=log_format, stream=stream)
    _log_a_validation_error()
    assert PAYLOAD not in stream.getvalue()
    assert "number: int_parsing" in stream.getvalue()
    assert "RuntimeError: stage failed" in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "client_level"),
    [("DEBUG", logging.INFO), ("info", logging.WARNING), ("ERROR", logging.ERROR)],
)
def test_the_kafka_client_never_logs_at_debug(
    stream: io.StringIO, level: str, client_level: int
) -> None:
    configure_logging(level, stream=stream)
    logger = logging.getLogger("aiokafka.consumer.fetcher")
    assert logger.getEffectiveLevel() == client_level
    logger.debug("key and value %s", PAYLOAD)
    assert stream.getvalue() == ""


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="log level 'LOUD' is unknown"):
        configure_logging("LOUD")


def test_a_library_that_repeats_itself_is_told_once_in_a_while(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    client, ours = logging.getLogger("aiokafka"), logging.getLogger("streamapp.test")
    for node in range(500):
        client.error("Unable connect to node with id %s", node)
        ours.warning("ours is never left out")
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if "Unable connect" in line]) == 1
    assert len([line for line in lines if "ours" in line]) == 500


def test_the_next_line_says_how_many_were_left_out() -> None:
    repeats = RepeatFilter(repeat_seconds=10.0)
    passed = []
    for second in range(21):
        record = logging.makeLogRecord({"name": "aiokafka", "msg": "down", "created": 100 + second})
        if repeats.filter(record):
            passed.append(record.getMessage())
    assert passed == ["down", "down (repeated 9 times since)", "down (repeated 9 times since)"]


def test_a_line_that_comes_first_is_written_however_early() -> None:
    early = logging.makeLogRecord({"name": "aiokafka", "msg": "down", "created": 0.0})
    assert RepeatFilter(repeat_seconds=10.0).filter(early)


def test_unless_told_otherwise_a_library_repeats_itself_after_ten_seconds() -> None:
    repeats = RepeatFilter()
    passed = [
        repeats.filter(logging.makeLogRecord({"name": "kafka", "msg": "x", "created": 100.0 + at}))
        for at in (0.0, 9.9, 10.0)
    ]
    assert passed == [True, False, True]


def test_lines_that_differ_all_the_time_do_not_fill_the_memory() -> None:
    repeats = RepeatFilter()
    for number in range(10_000):
        line = {"name": "kafka", "msg": f"text {number}", "created": 100.0}
        assert repeats.filter(logging.makeLogRecord(line))
    assert len(repeats._last) <= 1001
    again = logging.makeLogRecord({"name": "kafka", "msg": "text 9999", "created": 101.0})
    assert not repeats.filter(again)


def test_an_extra_may_have_keys_that_are_no_text(stream: io.StringIO) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    logging.getLogger("streamapp.test").info("x", extra={"lags": {0: 5}})
    assert orjson.loads(stream.getvalue())["lags"] == {"0": 5}


def test_a_json_line_has_the_exception(stream: io.StringIO) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    _log_a_validation_error()
    exception = orjson.loads(stream.getvalue())["exception"]
    assert exception.endswith("RuntimeError: stage failed")
    assert "ValidationError: number: int_parsing" in exception


def chained(*, hidden: bool) -> RuntimeError:
    error = RuntimeError("second")
    error.__context__ = KeyError("first")
    error.__suppress_context__ = hidden
    return error


def test_what_an_exception_was_raised_over_is_told_unless_it_was_hidden() -> None:
    assert "KeyError: 'first'" in describe_exception(chained(hidden=False))
    assert "KeyError" not in describe_exception(chained(hidden=True))


def test_causes_in_a_circle_are_told_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe_exception(first) == "ValueError: second\nValueError: first"


def test_lines_that_take_turns_are_repetitions_all_the_same() -> None:
    repeats = RepeatFilter()
    passed = [
        repeats.filter(logging.makeLogRecord({"name": "kafka", "msg": text, "created": 100.0}))
        for text in ("one", "two", "one", "two")
    ]
    assert passed == [True, True, False, False]
